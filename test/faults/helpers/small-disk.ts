import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Teardown } from '../../helpers/service.js'

/** A real file system of few megabytes, in a mount namespace that ends with this process. */
export type SmallDisk = {
  /** Where it is for the programs that run behind `enter`. */
  path: string
  /** Put before a command to run it where the disk is mounted. */
  enter: string[]
  /** The same, as the server's user, where that is not ours: see `postgres-server.ts`. */
  enterAsServer: string[]
  freeBytes(): Promise<number>
  /** Takes all the room but `leaveBytes`. */
  fill(leaveBytes: number): Promise<void>
  /** Gives that room back. */
  empty(): Promise<void>
  grow(megabytes: number): void
}

/** An account inside of the user namespace that is not its root, which PostgreSQL would refuse. */
const unprivileged = ['unshare', '--user', '--map-user=1000', '--map-group=1000', '--']

/** Mounts a tmpfs of this size. Throws where neither root nor an unprivileged user namespace may do so. */
export async function mountSmallDisk(t: Teardown, megabytes: number): Promise<SmallDisk> {
  const isRoot = process.getuid?.() === 0
  const path = await mkdtemp(join(tmpdir(), 'promptsync-disk-'))
  const namespaces = isRoot ? ['--mount'] : ['--user', '--map-root-user', '--mount']
  const script = 'mount -t tmpfs -o "size=$1m,mode=0777" tmpfs "$0" && echo ready && exec cat'
  const holder = spawn('unshare', [...namespaces, 'sh', '-c', script, path, String(megabytes)], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let complaint = ''
  holder.stderr.on('data', (chunk) => (complaint += chunk))
  const closed = once(holder, 'close').catch((error: Error) => {
    complaint += error.message
  })
  t.teardown(async () => {
    holder.stdin.end()
    await closed
    await rm(path, { recursive: true, force: true })
  })
  const ready = await Promise.race([once(holder.stdout, 'data').then(() => true), closed.then(() => false)])
  if (!ready) {
    throw new Error(
      `A small disk could not be mounted: ${complaint.trim() || 'unshare ended'}. ` +
        'The tests of a full disk need Linux, and root or unprivileged user namespaces (unshare --user --mount).',
    )
  }
  const enter = ['nsenter', `--target=${holder.pid}`, ...(isRoot ? [] : ['--user', '--preserve-credentials']), '--mount', '--']
  const seen = `/proc/${holder.pid}/root${path}`
  const filler = join(seen, 'filler')
  const freeBytes = async () => {
    const { bavail, bsize } = await statfs(seen)
    return bavail * bsize
  }
  return {
    path,
    enter,
    enterAsServer: isRoot ? enter : [...enter, ...unprivileged],
    freeBytes,
    async fill(leaveBytes) {
      const file = await open(filler, 'a')
      try {
        const block = Buffer.alloc(64 * 1024)
        for (let left = (await freeBytes()) - leaveBytes; left > 0; left -= block.length) {
          await file.write(block, 0, Math.min(left, block.length))
        }
      } finally {
        await file.close()
      }
    },
    empty: () => rm(filler, { force: true }),
    grow(newMegabytes) {
      const [program = '', ...args] = [...enter, 'mount', '-o', `remount,size=${newMegabytes}m`, path]
      const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
      if (status !== 0) throw new Error(`The disk could not be grown: ${stderr}`)
    },
  }
}
