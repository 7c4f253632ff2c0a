// Generates the types of the HTTP API from openapi/openapi.json, for the client and the command line.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import openapiTypescript from 'openapi-typescript'

const target = 'src/generated/api.ts'
const text = await openapiTypescript(JSON.parse(readFileSync('openapi/openapi.json', 'utf8')), { alphabetize: false })
mkdirSync('src/generated', { recursive: true })
writeFileSync(target, text)
