// Reads a Dockerfile and a .dockerignore: the part of them that ours use. Anything else is an error, so that nothing is
// skipped in silence.

/** The lines of a Dockerfile as [instruction, rest, line number], comments gone and continued lines joined. */
function* instructionsOf(text) {
  let joined = ''
  let start = 0
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*#/.test(line)) {
      if (index === 0 && /^#\s*(escape|check)\s*=/i.test(line)) throw new Error(`line 1: the directive ${line} is not known`)
      continue
    }
    if (joined === '') start = index + 1
    if (line.trim() === '') continue
    const continued = /^(.*)\\\s*$/.exec(line)
    joined += continued ? continued[1] : line
    if (continued) continue
    const [, name, rest] = /^\s*(\S+)\s*(.*?)\s*$/s.exec(joined)
    yield [name.toUpperCase(), rest, start]
    joined = ''
  }
  if (joined !== '') throw new Error(`line ${start}: the file ends in the middle of an instruction`)
}

/** Replaces `$NAME` and `${NAME}`. */
function expand(text, variables) {
  return text.replace(/\$(?:\{([^}]*)\}|(\w+))/g, (whole, braced, bare) => {
    const name = braced ?? bare
    if (!/^\w+$/.test(name)) throw new Error(`${whole} is not supported`)
    return variables[name] ?? ''
  })
}

/** Words of shell-like text: double and single quotes hold words together. */
function words(text) {
  const found = text.match(/(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'])+/g) ?? []
  return found.map((word) =>
    word.replace(/"((?:[^"\\]|\\.)*)"|'([^']*)'/g, (_, double, single) => single ?? double.replace(/\\(.)/g, '$1')),
  )
}

function pairs(text, variables) {
  return Object.fromEntries(
    words(text).map((word) => {
      const at = word.indexOf('=')
      if (at < 1) throw new Error(`"${word}" is not NAME=value`)
      return [word.slice(0, at), expand(word.slice(at + 1), variables)]
    }),
  )
}

/** A JSON array of strings, or the command line that a shell would run. */
function command(text) {
  if (!text.startsWith('[')) return ['/bin/sh', '-c', text]
  const list = JSON.parse(text)
  if (list.length === 0 || !list.every((word) => typeof word === 'string')) throw new Error(`${text} is not a list of words`)
  return list
}

/** Takes `--name=value` words off the front. */
function flags(text, allowed) {
  const found = {}
  let rest = text
  for (let match = /^--([a-z-]+)(?:=(\S+))?\s+/.exec(rest); match; match = /^--([a-z-]+)(?:=(\S+))?\s+/.exec(rest)) {
    if (!allowed.includes(match[1]) || match[2] === undefined) throw new Error(`the flag --${match[1]} is not known`)
    found[match[1]] = match[2]
    rest = rest.slice(match[0].length)
  }
  return [found, rest]
}

const seconds = (text) => {
  const match = /^(\d+)s$/.exec(text)
  if (!match) throw new Error(`${text} is not a number of seconds such as 5s`)
  return Number(match[1])
}

function resolvePath(workdir, path) {
  const parts = []
  for (const part of (path.startsWith('/') ? path : `${workdir}/${path}`).split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return `/${parts.join('/')}`
}

const readers = {
  WORKDIR(stage, rest) {
    stage.workdir = resolvePath(stage.workdir, expand(rest, stage.variables))
    stage.steps.push({ kind: 'workdir', path: stage.workdir, text: `WORKDIR ${rest}` })
  },
  COPY(stage, rest) {
    const [{ from, chown }, list] = flags(rest, ['from', 'chown'])
    if (/^\[|<</.test(list)) throw new Error('only COPY with plain words is known')
    const paths = words(expand(list, stage.variables))
    if (paths.length < 2) throw new Error('COPY needs a source and a destination')
    if (paths.some((path) => /[*?[\]]/.test(path))) throw new Error('COPY with patterns is not known')
    const target = paths.at(-1)
    const intoDirectory = target.endsWith('/')
    if (paths.length > 2 && !intoDirectory) throw new Error('COPY of several sources needs a destination that ends in /')
    stage.steps.push({
      kind: 'copy',
      from,
      chown,
      sources: paths.slice(0, -1),
      target: resolvePath(stage.workdir, target),
      intoDirectory,
      text: `COPY ${rest}`,
    })
  },
  RUN(stage, rest) {
    if (/^(\[|--)|<</.test(rest)) throw new Error('only RUN with a command line is known')
    stage.steps.push({ kind: 'run', script: rest, workdir: stage.workdir, env: { ...stage.variables }, text: `RUN ${rest}` })
  },
  ENV(stage, rest) {
    const values = pairs(rest, stage.variables)
    Object.assign(stage.env, values)
    Object.assign(stage.variables, values)
  },
  ARG(stage, rest) {
    const [, name, value] = /^(\w+)(?:=(\S*))?$/.exec(rest) ?? []
    if (name === undefined) throw new Error(`ARG ${rest} is not NAME or NAME=value`)
    if (!(name in stage.env)) stage.variables[name] = expand(value ?? '', stage.variables)
  },
  LABEL: (stage, rest) => Object.assign(stage.labels, pairs(rest, stage.variables)),
  USER: (stage, rest) => Object.assign(stage, { user: expand(rest, stage.variables) }),
  EXPOSE: (stage, rest) => stage.ports.push(...words(expand(rest, stage.variables))),
  VOLUME: (stage, rest) => stage.volumes.push(...(rest.startsWith('[') ? command(rest) : words(expand(rest, stage.variables)))),
  STOPSIGNAL: (stage, rest) => Object.assign(stage, { stopSignal: expand(rest, stage.variables) }),
  ENTRYPOINT: (stage, rest) => Object.assign(stage, { entrypoint: command(rest), command: [] }),
  CMD: (stage, rest) => Object.assign(stage, { command: command(rest) }),
  HEALTHCHECK(stage, rest) {
    const [given, check] = flags(rest, ['interval', 'timeout', 'start-period', 'retries'])
    const match = /^CMD\s+(.+)$/s.exec(check)
    if (!match) throw new Error('HEALTHCHECK without CMD is not known')
    stage.healthcheck = { command: command(match[1]), timeoutSeconds: seconds(given.timeout ?? '30s') }
  },
}

function startStage(rest, stages) {
  const [, image, name] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(rest) ?? []
  if (image === undefined || image.startsWith('--') || image.includes('$')) throw new Error(`FROM ${rest} is not known`)
  const parent = stages.find((stage) => stage.name === image)
  const inherited = parent ?? {
    workdir: '/',
    env: {},
    labels: {},
    ports: [],
    volumes: [],
    user: 'root',
    stopSignal: 'SIGTERM',
    entrypoint: [],
    command: [],
    healthcheck: null,
    baseImage: image,
  }
  const { workdir, env, labels, ports, volumes, user, stopSignal, entrypoint, command, healthcheck, baseImage } = inherited
  return {
    name: name ?? String(stages.length),
    parent: parent?.name ?? null,
    ...{ baseImage, workdir, user, stopSignal, entrypoint, command, healthcheck },
    env: { ...env },
    variables: { ...env },
    labels: { ...labels },
    ports: [...ports],
    volumes: [...volumes],
    steps: [],
  }
}

/** The stages of a Dockerfile in order: what each starts from, its steps, and what a container of it is told. */
export function parseDockerfile(text) {
  const stages = []
  for (const [name, rest, line] of instructionsOf(text)) {
    try {
      if (name === 'FROM') stages.push(startStage(rest, stages))
      else if (!(name in readers)) throw new Error(`the instruction ${name} is not known`)
      else if (stages.length === 0) throw new Error(`${name} stands before the first FROM`)
      else readers[name](stages.at(-1), rest)
    } catch (error) {
      throw new Error(`Dockerfile, line ${line}: ${error.message}`, { cause: error })
    }
  }
  if (stages.length === 0) throw new Error('The Dockerfile has no FROM')
  return stages
}

/** What a .dockerignore lets through: the last pattern that fits a path, or a directory above it, decides. */
export function readIgnore(text) {
  const rules = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ excludes: !line.startsWith('!'), pattern: patternOf(line.replace(/^!/, '')) }))
  return (path) => {
    const parts = path.split('/')
    const paths = parts.map((_, index) => parts.slice(0, index + 1).join('/'))
    const last = rules.filter(({ pattern }) => paths.some((each) => pattern.test(each))).at(-1)
    return !(last?.excludes ?? false)
  }
}

function patternOf(glob) {
  if (/[[\]\\]/.test(glob)) throw new Error(`.dockerignore: the pattern ${glob} is not known`)
  const source = glob
    .replace(/^\/|\/$/g, '')
    .split('/')
    .map((part) =>
      part === '**'
        ? '.*'
        : part
            .replace(/[.+^${}()|]/g, '\\$&')
            .replaceAll('*', '[^/]*')
            .replaceAll('?', '[^/]'),
    )
    .join('/')
    .replaceAll('.*/', '(?:.*/)?')
  return new RegExp(`^${source}$`)
}
