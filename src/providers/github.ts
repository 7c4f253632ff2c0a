import { z } from 'zod'
import { AppError } from '../errors.js'
import { readFiles } from './github-files.js'
import { noApi } from './github-refusals.js'
import { connectGitHub, type GitHub, jsonOf, publicApi } from './github-requests.js'
import { listTree, Sha } from './github-tree.js'
import type { ListedCommit, Listing, Provider, ProviderContext, Revision } from './provider.js'
import { secret } from './provider.js'

type Config = z.infer<typeof Config>
type Known = z.infer<typeof Known>

const smallAnswerBytes = 256 * 1024
const maxEtagLength = 500

const Config = z.strictObject({
  repo: z
    .string()
    .max(300)
    .overwrite(bareName)
    .refine(
      isRepo,
      'Give the repository as "owner/name", or as https://github.com/owner/name. A branch goes into `ref`, a folder into `path`.',
    )
    .meta({ description: 'The repository: `owner/name`, or its address on github.com.' }),
  ref: z
    .string()
    .min(1)
    .max(255)
    .refine(isRef, 'Give the name of a branch or tag, or a commit.')
    .meta({ description: 'A branch, a tag or a commit; by default the default branch.' })
    .optional(),
  path: z
    .string()
    .max(500)
    .overwrite((path) => path.replace(/^\/+|\/+$/g, ''))
    .refine(isFolder, 'Give a folder of the repository, such as "prompts/production", without "." and "..".')
    .meta({ description: 'The folder that the files are taken from; by default all of the repository.' })
    .optional(),
  token: secret(z.string().regex(/^[\x21-\x7e]{1,500}$/, 'Give the token as it is, without blanks.')).optional(),
  baseUrl: z
    .string()
    .max(500)
    .overwrite((url) => url.replace(/\/+$/, ''))
    .refine(isApi, 'Give the address of the API, https://github.example.com/api/v3 say, without user, query and fragment.')
    .meta({ description: 'The API of GitHub Enterprise; by default that of github.com.' })
    .optional(),
})

/** What a revision tells: which commit of what, and by which validator that was learnt. */
const Known = z.object({
  of: z.string(),
  commit: Sha,
  etag: z.string().nullable(),
  size: z.object({ files: z.number(), bytes: z.number() }).nullable(),
})

const Repository = z.object({ default_branch: z.string().max(255).refine(isRef) })

export const github: Provider<Config> = {
  name: 'github',
  config: Config,
  needsGlobalAdmin: false,
  target: ({ baseUrl = publicApi }) => new URL(baseUrl).origin,
  check,
  list,
  read,
}

async function check(config: Config, context: ProviderContext): Promise<void> {
  const connection = await connectGitHub(config, context)
  const { defaultBranch } = await askRepository(connection)
  await askCommit(connection, config, null, () => noRef(config, defaultBranch))
}

/** One request where nothing has changed, and one more for the tree where the commit has. */
async function list(config: Config, previous: Revision | null, context: ProviderContext): Promise<Listing> {
  const known = previous === null ? null : parseRevision(previous, config)
  const connection = await connectGitHub(config, context)
  const found = await askCommit(connection, config, known?.etag ?? null, async () => {
    const { defaultBranch } = await askRepository(connection)
    return noRef(config, defaultBranch)
  })
  if (known && (found === 'unchanged' || found.commit === known.commit)) {
    const etag = found === 'unchanged' ? known.etag : found.etag
    return { revision: formatRevision({ ...known, etag }), unchanged: true }
  }
  if (found === 'unchanged') throw noApi(config.repo)
  const { files, ignored, size } = await listTree(connection, found.commit, config.path ?? '')
  const revision = formatRevision({ of: identity(config), commit: found.commit, etag: found.etag, size })
  return { revision, unchanged: false, files, ignored, commit: listedCommit(config, found.commit) }
}

async function* read(
  config: Config,
  files: Parameters<Provider<Config>['read']>[1],
  revision: Revision,
  context: ProviderContext,
): ReturnType<Provider<Config>['read']> {
  const known = parseRevision(revision, config)
  if (!known) throw new AppError('source.changed', `The settings of "${config.repo}" were changed while it was read. Try again.`)
  const { commit, size } = known
  yield* readFiles(await connectGitHub(config, context), { commit, folder: config.path ?? '', size }, files)
}

/** The commit that the ref stands for, by one conditional request. */
async function askCommit(
  github: GitHub,
  { repo, ref = 'HEAD' }: Config,
  etag: string | null,
  isMissing: () => AppError | Promise<AppError>,
): Promise<{ commit: string; etag: string | null } | 'unchanged'> {
  const answer = await github.ask({
    route: '/repos/{owner}/{repo}/commits/{ref}',
    parameters: { ref },
    headers: { accept: 'application/vnd.github.sha', ...(etag === null ? {} : { 'if-none-match': etag }) },
    maxBytes: smallAnswerBytes,
    meanings: { 404: isMissing, 409: () => isEmpty(repo), 422: isMissing },
  })
  if (answer.status === 304) return 'unchanged'
  const { success, data } = Sha.safeParse(answer.body.toString('latin1').trim())
  if (!success) throw noApi(repo)
  const validator = github.scrub(answer.headers.etag ?? '')
  return { commit: data, etag: validator && validator.length <= maxEtagLength ? validator : null }
}

async function askRepository(github: GitHub): Promise<{ defaultBranch: string }> {
  const answer = await github.ask({ route: '/repos/{owner}/{repo}', maxBytes: smallAnswerBytes })
  const { success, data } = Repository.safeParse(jsonOf(answer, github.repo))
  if (!success) throw noApi(github.repo)
  return { defaultBranch: github.scrub(data.default_branch) }
}

function noRef({ repo, ref }: Config, defaultBranch: string): AppError {
  if (ref === undefined) return isEmpty(repo)
  return new AppError(
    'source.missing',
    `"${ref}" is neither a branch, a tag nor a commit of "${repo}". Its default branch is "${defaultBranch}": give that as \`ref\`, or leave \`ref\` out.`,
  )
}

function isEmpty(repo: string): AppError {
  return new AppError('source.missing', `The repository "${repo}" is empty. Push a commit to it.`)
}

function listedCommit({ repo, ref, baseUrl = publicApi }: Config, commit: string): ListedCommit {
  const { protocol, host } = new URL(baseUrl)
  // The API of github.com has a host of its own, and so has that of every tenant of ghe.com.
  const web = /^api\.(github\.com|[^.]+\.ghe\.com)$/.exec(host)?.[1] ?? host
  const isCommit = ref !== undefined && /^[0-9a-f]{7,40}$/.test(ref) && commit.startsWith(ref)
  return { repo: `${protocol}//${web}/${repo}`, commit, branch: isCommit ? null : (ref?.replace(/^heads\//, '') ?? null) }
}

/** A revision of other settings says nothing about these. */
function identity({ repo, ref = '', path = '', baseUrl = publicApi }: Config): string {
  return JSON.stringify([baseUrl, repo.toLowerCase(), ref, path])
}

function formatRevision({ of, commit, etag, size }: Known): Revision {
  return JSON.stringify({ of, commit, etag, size })
}

function parseRevision(revision: Revision, config: Config): Known | null {
  try {
    const { success, data } = Known.safeParse(JSON.parse(revision))
    return success && data.of === identity(config) ? data : null
  } catch {
    // What cannot be read counts as none: everything is listed anew.
    return null
  }
}

/** `owner/name` of the ways in which people write it; what is none of them stays as it is. */
function bareName(text: string): string {
  const bare = text.trim().replace(/^(https?:\/\/|ssh:\/\/git@)?(www\.)?github\.com\/|^git@github\.com:/i, '')
  return bare.replace(/\/+$/, '').replace(/\.git$/i, '')
}

function isRepo(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,100}\/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/.test(text)
}

/** What Git allows as a name, which also keeps a name from leaving its place in a URL. */
function isRef(text: string): boolean {
  if (/[\s~^:?*[\\]|\p{Cc}|\.\.|@\{|\/\/|\.lock(\/|$)/u.test(text) || !text.isWellFormed()) return false
  return !/^[-/.]|[/.]$|\/\./.test(text)
}

function isFolder(text: string): boolean {
  if (/\p{Cc}|\\/u.test(text) || !text.isWellFormed()) return false
  return text === '' || !text.split('/').some((segment) => segment === '' || segment === '.' || segment === '..')
}

function isApi(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, search, hash } = new URL(text)
  return /^https?:$/.test(protocol) && !`${username}${password}${search}${hash}`
}
