import t from 'tap'
import { busyMs, end, endInTime } from '../lib/template/endings.js'
import { denseSources } from './dense-sources.js'

t.test('sources as dense as they can be are read or refused in time', async (t) => {
  // The first templates of a process pay for making its code fast.
  for (let count = 0; count < 5; count += 1) end(String(denseSources['elif below the limit']))
  for (const [name, source] of Object.entries(denseSources)) {
    const { ms } = endInTime(source)
    t.ok(ms <= busyMs, `${name} takes ${ms.toFixed(0)} ms`)
  }
})
