/** Whether a text that left the service speaks of stacks, statements, files or the engines beneath. */
export function tellsOfTheInside(text: string): boolean {
  return inside.test(text)
}

const inside =
  /\n\s+at |\\n\s+at |node_modules|file:\/\/|\.[cm]?[jt]s:\d|prisma|pglite|PostgresError|ZodError|SQLSTATE|\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM)\s+["\w*]|(?:^|[\s"'(])\/(?:home|root|srv|tmp|usr|var|work)\//i
