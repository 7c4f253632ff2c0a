import { z } from 'zod'

export const Validation = z
  .object({
    valid: z.boolean().meta({ description: 'Whether there are no errors; warnings refuse nothing.' }),
    findings: z.array(
      z.object({
        severity: z.enum(['error', 'warning']),
        code: z.string(),
        message: z.string(),
        path: z.string().meta({ description: 'The place in the request: `prompts[3].content`.' }),
        prompt: z.string().nullable(),
        file: z.string().nullable(),
        line: z.number().int().nullable().meta({ description: 'In the file where there is one, else in the text; from 1.' }),
        column: z.number().int().nullable(),
      }),
    ),
  })
  .meta({ id: 'Validation' })
export type Validation = z.infer<typeof Validation>
