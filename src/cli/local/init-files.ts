import { packageVersion } from '../../lib/package-version.js'

type Choice = {
  /** Null where none is named: the server takes that of the key. */
  project: string | null
  /** The folder of prompts, from the folder of the settings. */
  path: string
}

/** The settings of a project. Pure. */
export function settingsFile({ project, path }: Choice): string {
  return `# What promptsync works on here. See: promptsync help files
${project === null ? '# project: my-project    # by default that of the key' : `project: ${scalar(project)}`}
path: ${scalar(path)}
# What a push moves, and what local files are compared with.
alias: dev
`
}

/** A text as YAML, in quotes where it may mean something else. */
function scalar(text: string): string {
  const isPlain = /^[A-Za-z][\w./-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text)
  return isPlain ? text : JSON.stringify(text)
}

/** A prompt with a variant, to be pushed as it is and then replaced. */
export const examplePrompt = `name: Greeting
description: Greets a customer by name.
config:
  temperature: 0.3
content: |
  You are a friendly assistant of {{ company_name }}.
  Greet {{ customer_name }} in one sentence, and ask how you can help.
variants:
  - tags:
      locale: de
    content: |
      Du bist ein freundlicher Assistent von {{ company_name }}.
      Begrüße {{ customer_name }} in einem Satz und frage, wie du helfen kannst.
`

type Place = Choice & {
  /** Where the settings are, from the root of the repository: `` or `packages/bot`. */
  folder: string
  /** The branch that is pushed to the alias. */
  branch: string
}

/** Where the workflow lies, from the root of the repository. */
export const workflowPath = '.github/workflows/prompts.yml'

/** A workflow of GitHub Actions: pull requests are checked, the branch goes to `dev`, a tag to `production`. Pure. */
export function workflowFile({ path, folder, branch }: Place): string {
  const below = folder === '' ? '' : `${folder}/`
  const watched = [`${below}${path}/**`, `${below}promptsync.config.*`, workflowPath]
    .map((glob) => JSON.stringify(glob))
    .join(', ')
  const directory = folder === '' ? '' : `\ndefaults:\n  run:\n    working-directory: ${JSON.stringify(folder)}\n`
  const steps = `    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-node@v4
        with:
          node-version: 22
      - run: npm install --global promptsync@${packageVersion}`
  return `# Written by promptsync init. It needs, in the settings of the repository, the variable PROMPTSYNC_URL and the secret
# PROMPTSYNC_TOKEN: a key with the scopes prompts:read, prompts:write and aliases:write.
name: Prompts

on:
  pull_request:
    paths: [${watched}]
  push:
    branches: [${JSON.stringify(branch)}]
    tags: ["v*"]
    paths: [${watched}]

permissions:
  contents: read

env:
  PROMPTSYNC_URL: \${{ vars.PROMPTSYNC_URL }}
  PROMPTSYNC_TOKEN: \${{ secrets.PROMPTSYNC_TOKEN }}
${directory}
jobs:
  # Pull requests of forks get no secrets, so they are left out.
  validate:
    if: github.event_name == 'pull_request' && github.event.pull_request.head.repo.full_name == github.repository
${steps}
      - run: promptsync validate

  # One push at a time, in the order of the commits.
  push:
    if: github.event_name == 'push' && github.ref_type == 'branch'
    concurrency: promptsync-push
${steps}
      - run: promptsync push --alias dev

  release:
    if: github.event_name == 'push' && github.ref_type == 'tag'
${steps}
      - run: promptsync push --version "$GITHUB_REF_NAME"
      - run: promptsync alias set production --version "$GITHUB_REF_NAME"
`
}
