// Keeps, of the declarations that TypeScript emits, what an entry reaches. Types inside of an application's reach name few others;
// whole files would name packages that the application does not have.
import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

const head = /^(?:export )?(?:declare )?(?:abstract )?(?:class|function|const|let|type|interface|enum) ([\w$]+)/
const braces = /^(import|export) (type )?\{([^}]*)\} from ["']([^"']+)["'];?$/
const inline = /\bimport\(["']([^"']+)["']\)\.([\w$]+)/g
const comments = /\/\*[\s\S]*?\*\/|\/\/.*$/gm

/**
 * The declarations below a folder that the exports of `entry` need, as a Map of paths to texts. Throws for one that speaks of a
 * package, and for a file that is written in a way that is not known here.
 */
export function reachableDeclarations(folder, entry) {
  const modules = new Map()
  const load = (path) => {
    if (!modules.has(path)) modules.set(path, parseModule(readFileSync(join(folder, path), 'utf8'), path))
    return modules.get(path)
  }
  const targetOf = (path, specifier) => {
    if (!specifier.startsWith('.')) throw new Error(`${path}: the SDK cannot show types of the package "${specifier}".`)
    return resolve('/', dirname(path), specifier.replace(/\.js$/, '.d.ts')).slice(1)
  }
  const reach = (path, name) => {
    const module = load(path)
    const linked = module.links.find((link) => link.kind === 'export' && link.as === name)
    if (linked) follow(path, linked)
    else reachLocal(path, name)
  }
  const follow = (path, link) => {
    if (link.isUsed) return
    link.isUsed = true
    reach(targetOf(path, link.from), link.name)
  }
  const reachLocal = (path, name) => {
    const module = load(path)
    const declared = module.statements.filter((statement) => statement.name === name)
    if (declared.length === 0) throw new Error(`${path} declares no ${name}.`)
    for (const statement of declared.filter(({ isUsed }) => !isUsed)) {
      statement.isUsed = true
      const text = statement.text.replace(comments, '')
      for (const [, specifier, named] of text.matchAll(inline)) reach(targetOf(path, specifier), named)
      for (const word of new Set(text.match(/[\w$]+/g))) {
        const imported = module.links.find((link) => link.kind === 'import' && link.as === word)
        if (imported) follow(path, imported)
        else if (module.names.has(word)) reachLocal(path, word)
      }
    }
  }
  for (const { as } of load(entry).links.filter(({ kind }) => kind === 'export')) reach(entry, as)
  return new Map([...modules].map(([path, module]) => [path, print(module)]).filter(([, text]) => text !== ''))
}

/** Statements begin with a word in the first column; the comment before one is its own. */
function parseModule(text, path) {
  const statements = []
  const links = []
  let comment = ''
  for (const piece of text.split(/\n(?=(?:import|export|declare|abstract|class|function|const|let|type|interface|enum)\b)/)) {
    const ended = piece.trimEnd()
    const cut = ended.endsWith('*/') ? ended.lastIndexOf('/**') : ended.length
    const [body, next] = [ended.slice(0, cut), ended.slice(cut)]
    const name = head.exec(body)?.[1]
    const linked = braces.exec(body.trim().replace(/\s+/g, ' '))
    if (name) statements.push({ name, text: comment + body.trimEnd() })
    else if (linked) links.push(...toLinks(linked))
    else if (!/^(export \{\s*\};?)?$/.test(body.trim())) throw new Error(`${path}: what is this?\n${body}`)
    comment = next && `${next}\n`
  }
  return { statements, links, names: new Set(statements.map(({ name }) => name)) }
}

function toLinks([, kind, type, names, from]) {
  const all = names.split(',').map((name) => name.trim())
  return all
    .filter((name) => name !== '')
    .map((written) => {
      const isType = type !== undefined || written.startsWith('type ')
      const [name, as = name] = written.replace(/^type /, '').split(' as ')
      return { kind, isType, name, as, from }
    })
}

function print({ statements, links }) {
  const lines = links
    .filter(({ isUsed }) => isUsed)
    .map(({ kind, isType, name, as, from }) => {
      const written = name === as ? name : `${name} as ${as}`
      return `${kind} ${isType ? 'type ' : ''}{ ${written} } from '${from}';`
    })
  return [...lines, ...statements.filter(({ isUsed }) => isUsed).map(({ text }) => text), ''].join('\n').trimStart()
}
