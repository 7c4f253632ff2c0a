import t from 'tap'
import { isConnectionLoss } from '../../src/database/failures.js'

t.test(
  'whatever the driver says of a connection that is gone counts as lost, and what a server says of a statement does not',
  async (t) => {
    const lost = [
      'Connection terminated',
      'Connection terminated unexpectedly',
      'Client has encountered a connection error and is not queryable',
      'Client was closed and is not queryable',
      'timeout exceeded when trying to connect',
    ]
    for (const message of lost) t.ok(isConnectionLoss(new Error(message)), message)
    t.notOk(isConnectionLoss(new Error('duplicate key value violates unique constraint')))
  },
)
