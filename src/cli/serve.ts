/** `gatebook serve`: the gateway until it is told to stop. SIGTERM drains, a second one hurries; SIGHUP reloads. */
import { readFileSync } from 'node:fs'
import { createLog, type Log } from '../system/log.ts'
import { readableLines } from '../system/log-lines.ts'
import { OperatorError, wordsOf } from '../system/operator-error.ts'
import { App, type AppOptions } from '../wiring/app.ts'
import { configOrFail, type Io } from './io.ts'
import { RELEASE } from './release.ts'

export interface ServeOptions {
  readonly config: string
  readonly acceptJournalLoss: boolean
  /** How long open sessions may go on after SIGTERM. */
  readonly graceMs: number
  readonly takeOver: boolean
  readonly tokenFile?: string
}

/** Sessions that a failed store leaves are given this long to hear of it. */
const FAILURE_MS_MAX = 30_000

export async function serve(options: ServeOptions, io: Io): Promise<number> {
  const log = createLog('info', process.stderr.isTTY ? readableLines(io.stderr) : io.stderr)
  const read = () => configOrFail(options.config)
  const failed = Promise.withResolvers<'failed'>()
  const handedOver = Promise.withResolvers<'handed over'>()
  const appOptions: AppOptions = {
    loaded: await read(),
    read,
    env: process.env,
    release: RELEASE,
    log,
    acceptJournalLoss: options.acceptJournalLoss,
    onFailure: () => failed.resolve('failed'),
    onHandOver: () => {
      handedOver.resolve('handed over')
      return { graceMs: options.graceMs }
    },
    takeOver: options.takeOver ? tokenOf(options) : undefined,
  }
  const app = await App.start(appOptions).catch(explained)
  const reload = (): void => void reloadFrom(app, read, log)
  process.on('SIGHUP', reload)
  const stop = signalled()
  // Whoever reads this may send a signal at once, which would kill a process that does not listen yet.
  log.started({ release: RELEASE, gateway: appOptions.loaded.config.gateway.name })
  const ended = await Promise.race([stop, failed.promise, handedOver.promise])
  process.off('SIGHUP', reload)
  log.stopping({ reason: ended })
  if (ended === 'failed') {
    await app.stop(FAILURE_MS_MAX).catch((error: unknown) => log.unexpected(error))
    return 1
  }
  const hurry = signalled().then(() => 'hurried' as const)
  const stopped = app.stop(options.graceMs).then(() => 'stopped' as const)
  if ((await Promise.race([stopped, hurry])) === 'hurried') await app.stop(0)
  return 0
}

/** What the operator can do about it is known here: App does not know of the command's options. */
function explained(error: unknown): never {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code !== 'locked') throw error
  const next = 'stop the gateway that has it, or start this one with --take-over to replace it'
  throw new OperatorError('disk', `${wordsOf(error)}: ${next}`, { cause: error })
}

function tokenOf({ tokenFile }: ServeOptions): NonNullable<AppOptions['takeOver']> {
  return tokenFile === undefined ? {} : { token: readFileSync(tokenFile, 'utf8').trim() }
}

/** An invalid file changes nothing, and the log says why. */
async function reloadFrom(app: App, read: () => Promise<AppOptions['loaded']>, log: Log): Promise<void> {
  try {
    await app.reload(await read())
  } catch (error) {
    if (!(error instanceof OperatorError)) log.unexpected(error)
    log.configRefused({ file: 'configuration', faults: wordsOf(error).split('\n') })
  }
}

function signalled(): Promise<'SIGTERM' | 'SIGINT'> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'))
    process.once('SIGINT', () => resolve('SIGINT'))
  })
}
