/** `gatebook serve` as a process of its own, on an installation that `gatebook init` made. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { init } from '../../src/cli/init.ts'
import { systemClock } from '../../src/system/clock.ts'
import type { GatewayOptions } from './gateway.ts'
import { BookReader } from './gateway-book.ts'
import { captureIo } from './io.ts'
import { freePort } from './ports.ts'

const MAIN = resolve(import.meta.dirname, '../../src/main.ts')

/** Disposed of, its folder is gone. */
export interface Installation extends Disposable {
  readonly folder: string
  readonly config: string
  readonly port: number
  /** alice's. */
  readonly token: string
  openBook(): BookReader
}

/** In a folder of its own. */
export async function install({
  targets,
  files,
}: Pick<GatewayOptions, 'targets' | 'files'>): Promise<Installation> {
  const around = mkdtempSync(join(tmpdir(), 'gatebook-installed-'))
  const folder = join(around, 'gw')
  const { io, out } = captureIo()
  const sizes = { journalBytes: 8 << 20, ballastBytes: 64 << 10 }
  const told = { folder, name: 'gw.test', hosts: [], user: 'alice', clock: systemClock, sizes }
  if ((await init(told, io)) !== 0) throw new Error('init failed')
  const [token] = /gatebook_[a-z2-7]{32}/.exec(out()) ?? []
  if (token === undefined) throw new Error(`no token in ${out()}`)
  const port = await freePort()
  const config = join(folder, 'config.yaml')
  const text = readFileSync(config, 'utf8')
    .replace(':6432', `:${port}`)
    .replace(':2222', ':0')
    .replace('127.0.0.1:8443', '127.0.0.1:0')
    .replace('targets: {}', `targets:\n${targets.replace(/^(?=.)/gm, '  ')}`)
  writeFileSync(config, text)
  for (const [name, content] of Object.entries(files ?? {})) writeFileSync(join(folder, name), content)
  return {
    ...{ folder, config, port, token },
    openBook: () => {
      const kek = readFileSync(join(folder, 'keys', 'kek'), 'utf8')
      return new BookReader(join(folder, 'data'), Buffer.from(kek, 'base64'))
    },
    [Symbol.dispose]: () => rmSync(around, { recursive: true, force: true }),
  }
}

export class GatewayProcess {
  readonly child: ChildProcess
  /** What it has logged so far. */
  log = ''
  readonly ended: Promise<number | null>
  #wake: () => void = () => {}

  /** `under` is a program that looks on, such as strace. */
  constructor({ config }: Installation, args: readonly string[] = [], under: readonly string[] = []) {
    const [program, ...rest] = [...under, 'node', MAIN, 'serve', '--config', config, ...args]
    this.child = spawn(program ?? 'node', rest, {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.log += text
      this.#wake()
    })
    this.ended = new Promise((done) => {
      this.child.once('close', (code) => {
        done(code)
        this.#wake()
      })
    })
  }

  /** Resolves when it has logged that; rejects where it ends before. */
  async says(message: string): Promise<void> {
    while (!this.log.includes(`"msg":"${message}"`)) {
      if (this.child.exitCode !== null) throw new Error(`it ended before: ${this.log}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Ended with the test, whatever became of it. */
  [Symbol.dispose](): void {
    if (this.child.exitCode === null) this.child.kill('SIGKILL')
  }
}
