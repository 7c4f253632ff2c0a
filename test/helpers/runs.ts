/**
 * How often a property is tried: all of the times where the suite runs on a server, as it does in CI after it ran on the
 * embedded database, and a quarter of them otherwise, so that it stays short on a desk.
 */
export function runs(count: number): number {
  return process.env.TEST_DATABASE_URL === undefined ? Math.ceil(count / 4) : count
}
