import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ssh from 'ssh2'
import { makeDirectory } from '../../helpers/process.js'
import type { Teardown } from '../../helpers/service.js'

export type SshServer = {
  port: number
  /** The line of `known_hosts` that is right for it. */
  hostKey: string
  /** A private key that it lets in, and one that it does not. */
  sshKey: string
  strangeKey: string
  /** Commands that were run so far. */
  commands: string[]
}

/** `newProtocol` is whether it passes on which protocol is wanted, as most hosts do. */
export type SshServerOptions = { root: string; newProtocol?: boolean }

/** A real SSH server on a free port of the loopback, which runs `git-upload-pack` below a directory. It ends with the test. */
export async function startSshServer(t: Teardown, { root, newProtocol = true }: SshServerOptions): Promise<SshServer> {
  const [host, user, stranger] = await Promise.all([createKeyPair(t), createKeyPair(t), createKeyPair(t)])
  const userKey = publicKeyOf(user.public)
  const clients = new Set<ssh.Connection>()
  const commands: string[] = []
  const server = new ssh.Server({ hostKeys: [host.private] }, (client) => {
    clients.add(client)
    client.on('close', () => clients.delete(client))
    // A client that is killed breaks its connection.
    client.on('error', () => {})
    client.on('authentication', (attempt) => {
      if (attempt.method !== 'publickey') return attempt.reject(['publickey'])
      if (!attempt.key.data.equals(userKey.getPublicSSH())) return attempt.reject(['publickey'])
      const isSigned = attempt.signature === undefined || userKey.verify(attempt.blob ?? '', attempt.signature, attempt.hashAlgo)
      return isSigned === true ? attempt.accept() : attempt.reject()
    })
    client.on('session', (accept) => {
      const session = accept()
      let version: string | undefined
      session.on('env', (acceptValue, _reject, { key, val }) => {
        if (key === 'GIT_PROTOCOL' && newProtocol) version = val
        acceptValue?.()
      })
      session.on('exec', (acceptCommand, _reject, { command }) => {
        commands.push(command)
        runUploadPack(root, command, version, acceptCommand())
      })
    })
  })
  // Without delay: the many short messages of ssh would each wait for those before.
  const listener = createServer({ noDelay: true }, (socket) => server.injectSocket(socket))
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.teardown(async () => {
    const closed = new Promise<void>((resolve) => listener.close(() => resolve()))
    for (const client of clients) client.end()
    await closed
  })
  const { port } = listener.address() as AddressInfo
  const hostKey = `[127.0.0.1]:${port} ${host.public.trim()}`
  return { port, hostKey, sshKey: user.private, strangeKey: stranger.private, commands }
}

/** OpenSSH's own: ssh2 makes one key in 256 that it cannot read, since it leaves out zero bytes at the beginning. */
async function createKeyPair(t: Teardown): Promise<{ private: string; public: string }> {
  const file = join(await makeDirectory(t), 'key')
  await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', file])
  const [priv, pub] = await Promise.all([readFile(file, 'utf8'), readFile(`${file}.pub`, 'utf8')])
  return { private: priv, public: pub }
}

function publicKeyOf(text: string): ssh.ParsedKey {
  const key = ssh.utils.parseKey(text)
  if (key instanceof Error) throw key
  return key
}

function runUploadPack(root: string, command: string, version: string | undefined, channel: ssh.ServerChannel): void {
  const name = /^git-upload-pack '\/?([^']+)'$/.exec(command)?.[1]
  if (name === undefined) {
    channel.stderr.write('This command is not run here.\n')
    channel.exit(1)
    channel.end()
    return
  }
  const child = spawn('git', ['upload-pack', join(root, name)], {
    env: {
      PATH: process.env.PATH,
      LC_ALL: 'C',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      ...(version === undefined ? {} : { GIT_PROTOCOL: version }),
    },
  })
  // Either side may be gone before the other has sent everything.
  child.stdin.on('error', () => child.kill('SIGKILL'))
  channel.on('close', () => child.kill('SIGKILL'))
  channel.pipe(child.stdin)
  child.stdout.pipe(channel, { end: false })
  child.stderr.pipe(channel.stderr, { end: false })
  child.on('close', (status) => {
    channel.exit(status ?? 1)
    channel.end()
  })
}
