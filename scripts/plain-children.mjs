// The test runner has every process that a test starts load its loader, which notes for coverage what is loaded: that is most of
// what a short one takes. Only when coverage is measured does somebody read those notes.
import { createRequire } from 'node:module'

if (process.env._TAPJS_PROCESSINFO_COVERAGE_ === '0') {
  const ofRunner = createRequire(createRequire(import.meta.url).resolve('@tapjs/processinfo'))
  ofRunner('process-on-spawn').removeAllListeners()
}
