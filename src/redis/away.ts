/** Redis does not answer, or is not asked because it did not answer just now. What it holds is not known. */
export class RedisAway extends Error {}

/** Whether Redis itself answered so, which means that the way to it is fine. */
export function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError'
}

/** The words with which Redis begins an error. */
export function replyCode(error: unknown): string {
  return isReply(error) ? ((error as Error).message.split(' ', 1)[0] ?? '') : ''
}
