/** A gateway with a shop and a host behind it, and a browser before its console: what the tests here share. */
import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import pg from 'pg'
import type { Page } from 'playwright-core'
import { startEmbeddedPostgres } from '../../src/cli/demo/postgres.ts'
import { PASSWORD, type TestGateway } from '../support/gateway.ts'
import { openShop } from '../support/gateway-shop.ts'
import { opensshOptions, run } from '../support/ssh-clients.ts'
import { startSshGateway } from '../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../support/ssh-sshd.ts'
import { Browser } from './browser.ts'

const SUPERUSER_PASSWORD = 'superuser'
/** Of tom's one-time codes. */
export const CODE_SECRET = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'
const ROOT = join(import.meta.dirname, '../..')

export class Setting implements AsyncDisposable {
  readonly gateway: TestGateway
  readonly browser: Browser
  readonly #sshd: Sshd
  readonly #undo: AsyncDisposableStack

  private constructor(gateway: TestGateway, browser: Browser, sshd: Sshd, undo: AsyncDisposableStack) {
    this.gateway = gateway
    this.browser = browser
    this.#sshd = sshd
    this.#undo = undo
  }

  static async start(): Promise<Setting> {
    await using undo = new AsyncDisposableStack()
    execFileSync('node', [join(ROOT, 'src/build-console.ts')])
    const server = undo.use(await startEmbeddedPostgres(SUPERUSER_PASSWORD))
    const shop = await openShop({ port: server.port, superuser: 'postgres', password: SUPERUSER_PASSWORD })
    const sshd = undo.adopt(await startSshd(), (one) => one.stop())
    const gateway = undo.use(
      await startSshGateway(sshd, {
        targets: shop.targets,
        journalBytes: 48 << 20,
        files: { ...shop.files, totp: `${CODE_SECRET}\n` },
        changes: [
          ['auth:\n', '  console: { type: console, address: "127.0.0.1:0", require_tls: false }\nauth:\n'],
          [
            'groups:\n',
            '  rita: { groups: [reviewers], password: "file:password" }\n  tom: { groups: [reviewers], password: "file:password", totp: "file:totp" }\ngroups:\n  reviewers: {}\n',
          ],
          ['roles:\n', 'roles:\n  reviewer: { read: { targets: ["*"], see: replay, admin: true } }\n'],
          ['grants:\n', 'grants:\n  - { group: reviewers, role: reviewer }\n'],
          // A single statement of ten million characters is taken, and fits the journal.
          ['max_statement: 1MiB', 'max_statement: 16MiB'],
          [
            'policies: []',
            'policies:\n  - { id: no-bare-delete, when: { verb: [DELETE, UPDATE], where: none }, then: deny }',
          ],
        ],
      }),
    )
    const browser = undo.use(await Browser.start())
    return new Setting(gateway, browser, sshd, undo.move())
  }

  get address(): string {
    return `http://localhost:${this.gateway.port('console')}`
  }

  /** A connection of alice's to the shop. */
  async psql(applicationName = 'psql'): Promise<pg.Client> {
    const client = new pg.Client({
      ...{ host: '127.0.0.1', port: this.gateway.port(), user: 'alice~orders', password: PASSWORD },
      ...{ database: 'shop', application_name: applicationName },
    })
    client.on('error', () => undefined)
    await client.connect()
    return client
  }

  /** What alice's `sftp` does at the host, in a folder of its own there. */
  async sftp(commands: readonly string[]): Promise<void> {
    const options = opensshOptions(this.gateway.port('ssh'), join(this.#sshd.folder, 'alice'))
    const input = [`cd ${this.#sshd.folder}`, ...commands].map((line) => `${line}\n`).join('')
    const { code, err } = await run('sftp', ['-q', ...options, '-b', '-', 'alice~web@127.0.0.1'], { input })
    if (code !== 0) throw new Error(err)
  }

  /** A terminal of alice's at the host: what is written to it is typed. */
  terminal() {
    const options = opensshOptions(this.gateway.port('ssh'), join(this.#sshd.folder, 'alice'))
    const child = spawn('ssh', ['-tt', ...options, 'alice~web@127.0.0.1'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, TERM: 'xterm' },
    })
    let shown = ''
    child.stdout.on('data', (bytes: Buffer) => {
      shown += bytes.toString()
    })
    child.stdin.on('error', () => undefined)
    return {
      type: (text: string) => void child.stdin.write(text),
      shown: () => shown,
      ended: new Promise<void>((resolve) => child.once('close', () => resolve())),
      [Symbol.dispose]: () => void child.kill(),
    }
  }

  async signIn(page: Page, user = 'rita'): Promise<void> {
    await page.goto(this.address)
    await page.getByLabel('User').fill(user)
    await page.getByLabel('Password or personal token').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('navigation', { name: 'Screens' }).waitFor()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#undo.disposeAsync()
  }
}
