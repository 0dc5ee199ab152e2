import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { Accounts } from '../../src/access/accounts.ts'
import { type Attempt, Authenticator, type Identity } from '../../src/access/authenticate.ts'
import { type Directory, readDirectory } from '../../src/access/directory.ts'
import type { Door, LoginEvent } from '../../src/access/events.ts'
import type { LoadedConfig } from '../../src/config/load.ts'
import type { Environment } from '../../src/system/secret.ts'
import { TestClock } from './clock.ts'
import { loadGood } from './config.ts'

const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** Gone when the tests of the file are over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'gatebook-access-'))
  folders.push(folder)
  return folder
}

export interface AccessDesk {
  readonly clock: TestClock
  readonly accounts: Accounts
  readonly authenticator: Authenticator
  readonly directory: Directory
  readonly loaded: LoadedConfig
  readonly told: LoginEvent[]
  begin(user: string, address?: string, door?: Door): Attempt
}

/** Real accounts and a real authenticator over the configuration `text`. */
export async function openDesk(text: string, env: Environment = {}): Promise<AccessDesk> {
  const clock = new TestClock()
  const loaded = loadGood(text)
  const accounts = Accounts.create(join(temporaryFolder(), 'accounts.db'), { clock })
  const directory = await readDirectory(loaded.config, env)
  const told: LoginEvent[] = []
  const authenticator = new Authenticator(directory, { accounts, clock, tell: (event) => told.push(event) })
  const begin = (user: string, address = '10.0.0.1', door: Door = 'pg') =>
    authenticator.begin({ door, user, address })
  return { clock, accounts, authenticator, directory, loaded, told, begin }
}

/** Logs `user` in with a fresh token. */
export async function identityOf(desk: AccessDesk, user: string): Promise<Identity> {
  const { secret, token } = desk.accounts.createToken({
    user,
    label: 'test',
    expires: desk.clock.now() + 3_600_000,
  })
  const result = await desk.begin(user).password(secret)
  desk.accounts.revokeToken(token.id)
  if (result.type !== 'identity') throw new Error(`${user} was refused: ${result.type}`)
  return result.identity
}
