import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of package.json: two above this file, in `src` and in `dist` alike. */
export const packageRoot = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
