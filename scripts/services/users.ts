import { chown } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { run, type Identity } from './processes.js'

export function isRoot(): boolean {
  return userInfo().uid === 0
}

/**
 * Servers refuse to run as root: there, the named system user is used, and made when it is missing.
 * For everybody else the answer is undefined: the service runs as the caller.
 */
export async function serviceIdentity(user: string): Promise<Identity | undefined> {
  if (!isRoot()) return undefined
  const known = await run('id', ['-u', user]).catch(() => undefined)
  if (known === undefined) await run('useradd', ['--system', '--user-group', '--no-create-home', user])
  const [uid, gid] = await Promise.all([run('id', ['-u', user]), run('id', ['-g', user])])
  return { uid: Number(uid), gid: Number(gid) }
}

export async function giveTo(identity: Identity | undefined, ...paths: string[]): Promise<void> {
  if (identity === undefined) return
  await Promise.all(paths.map((path) => chown(path, identity.uid, identity.gid)))
}
