import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../test/helpers/free-port.js'
import { until } from '../../test/helpers/until.js'
import type { Scope } from './scope.js'

const startTimeoutMs = 10_000

/** A single process that keeps its connections to the instances open. */
function toConfiguration(directory: string, port: number, urls: readonly string[]): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${directory}/${name};`)
  return `
daemon off;
master_process off;
worker_processes 1;
pid ${directory}/pid;
error_log ${directory}/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  ${temporary.join(' ')}
  keepalive_requests 1000000000;
  upstream instances {
    ${urls.map((url) => `server ${new URL(url).host};`).join(' ')}
    keepalive 64;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://instances;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`
}

export type Proxy = { url: string; pid: number }

/** Starts nginx before these instances. Throws where it is not installed. */
export async function startNginx(scope: Scope, urls: readonly string[]): Promise<Proxy> {
  // Debian keeps it where only root looks.
  const env = { PATH: `${process.env.PATH ?? ''}:/usr/sbin` }
  if (spawnSync('nginx', ['-v'], { env }).error) throw new Error('nginx is not installed: apt-get install nginx-light.')
  const directory = await mkdtemp(join(tmpdir(), 'promptsync-nginx-'))
  scope.teardown(() => rm(directory, { recursive: true, force: true }))
  await mkdir(join(directory, 'logs'))
  const port = await freePort()
  const file = join(directory, 'nginx.conf')
  await writeFile(file, toConfiguration(directory, port, urls))
  const args = ['--pdeathsig=KILL', 'nginx', '-p', directory, '-c', file]
  const child = spawn('setpriv', args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk) => (complaint += chunk))
  const closed = once(child, 'close')
  scope.teardown(async () => {
    child.kill('SIGTERM')
    await closed
  })
  await until('nginx accepts connections', startTimeoutMs, () => {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${complaint}`)
    return accepts(port)
  })
  return { url: `http://127.0.0.1:${port}`, pid: child.pid ?? 0 }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
