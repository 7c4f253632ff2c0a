import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createAllowedHosts } from '../../../src/lib/allowed-hosts.js'
import { createOutbound } from '../../../src/lib/outbound.js'
import type { FetchNote, ProviderContext } from '../../../src/providers/provider.js'
import type { Teardown } from '../../helpers/service.js'

/** A context whose notes are kept. Nothing but its workspace is in the directory above that. */
export type TestContext = ProviderContext & { notes: FetchNote[]; workspaceParent: string }

/** The context of one run with a fresh workspace, which may reach the loopback and nothing else that is private. */
export async function providerContext(t: Teardown, overrides: Partial<ProviderContext> = {}): Promise<TestContext> {
  const allowedHosts = overrides.allowedHosts ?? createAllowedHosts(['127.0.0.1', 'localhost', '::1'])
  const outbound = overrides.outbound ?? createOutbound({ allowedHosts })
  const workspace = overrides.workspace ?? (await freshWorkspace())
  const notes: FetchNote[] = []
  t.teardown(async () => {
    if (!overrides.outbound) await outbound.close()
    if (!overrides.workspace) await rm(dirname(workspace), { recursive: true, force: true })
  })
  return {
    signal: new AbortController().signal,
    requestTimeoutMs: 10_000,
    limits: { files: 5_000, fileBytes: 1024 * 1024, totalBytes: 64 * 1024 * 1024 },
    fileRoots: [],
    note: (note) => notes.push(note),
    ...overrides,
    allowedHosts,
    outbound,
    workspace,
    notes,
    workspaceParent: dirname(workspace),
  }
}

async function freshWorkspace(): Promise<string> {
  const workspace = join(await mkdtemp(join(tmpdir(), 'promptsync-run-')), 'workspace')
  await mkdir(workspace)
  return workspace
}
