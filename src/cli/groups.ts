/** The headings that `promptsync help` lists commands under, in their order. */
export const groups = {
  prompts: 'Prompts:',
  rollout: 'Rollout:',
  setup: 'Setting up:',
  administration: 'Administration:',
  server: 'The server:',
} as const
