// Loaded first into the process that is to be killed: says on file descriptor 3 how far each of its transactions has come.
// Written in step with the work, so that what was said is never ahead of what was done nor behind it.
import { writeSync } from 'node:fs'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'

/** `insert` and `commit` before they are sent, `committed` and `ended` after they were answered. */
const mark = (word) => writeSync(3, `${word}\n`)

const isInsert = (sql) => /^\s*INSERT\b/i.test(sql)

const query = pg.Client.prototype.query
const inserting = new WeakSet()
pg.Client.prototype.query = function (config, ...rest) {
  const sql = typeof config === 'string' ? config : (config?.text ?? '')
  if (/^\s*BEGIN\b/i.test(sql)) inserting.delete(this)
  if (isInsert(sql) && !inserting.has(this)) {
    inserting.add(this)
    mark('insert')
  }
  const isCommit = /^\s*COMMIT\b/i.test(sql) && inserting.has(this)
  if (isCommit) mark('commit')
  const result = query.call(this, config, ...rest)
  if (isCommit) {
    result.then(
      () => mark('committed'),
      () => mark('ended'),
    )
  }
  return result
}

const transaction = PGlite.prototype.transaction
PGlite.prototype.transaction = function (work) {
  let hasInserted = false
  const marked = async (tx) => {
    const watched = {
      ...tx,
      query(sql, ...rest) {
        if (isInsert(sql) && !hasInserted) {
          hasInserted = true
          mark('insert')
        }
        return tx.query(sql, ...rest)
      },
    }
    const result = await work(watched)
    if (hasInserted) mark('commit')
    return result
  }
  const running = transaction.call(this, marked)
  running.then(
    () => hasInserted && mark('committed'),
    () => hasInserted && mark('ended'),
  )
  return running
}
