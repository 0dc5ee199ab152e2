/** Builds everything from a configuration and takes it down again: the only place where the parts meet. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { SqlReader } from '../../protocols/postgres/index.ts'
import { Accounts } from '../access/accounts.ts'
import { Authenticator } from '../access/authenticate.ts'
import { renewAll } from '../access/authorize.ts'
import { readDirectory } from '../access/directory.ts'
import { LiveConnections } from '../access/live.ts'
import { bookFiles } from '../book/files.ts'
import { canonicalText, compareConfigs, describeChange, effectiveConfig } from '../config/effective.ts'
import type { LoadedConfig } from '../config/load.ts'
import { controlCommands } from '../control/commands.ts'
import { type Caller, ControlServer } from '../control/server.ts'
import { Cancels } from '../gate/cancels.ts'
import { Gate } from '../gate/gate.ts'
import { Greetings } from '../gate/greetings.ts'
import { Threads } from '../gate/threads.ts'
import type { WaitingRoom } from '../gate/waiting-room.ts'
import { Ledger } from '../read/ledger.ts'
import type { Library } from '../read/library.ts'
import { NoAnswer, type Question } from '../read/questions.ts'
import { labelsOf, localRights, readingRights } from '../read/rights.ts'
import type { Recorder } from '../record/recorder.ts'
import { type Clock, systemClock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { growSteadily, Nursery, youngCollection } from '../system/nursery.ts'
import { OperatorError } from '../system/operator-error.ts'
import type { Environment } from '../system/secret.ts'
import { Doors, type ListeningAt } from './doors.ts'
import { drain } from './draining.ts'
import { readInForce } from './in-force.ts'
import { Reading } from './reading.ts'
import { type RecordingEvents, readKekBytes, requireJournal, startRecorder } from './recording.ts'
import { type HandOver, type TakeOver, takeOver } from './take-over.ts'
import { Web } from './web.ts'

const SWEEP_MS = 1000
const REMIND_MS = 60_000
/** Hours and expiries of grants are looked at this often. */
const RENEW_EVERY_SWEEPS = 10

export interface AppOptions {
  readonly loaded: LoadedConfig
  /** Reads the configuration again; throws an OperatorError with what is wrong with it. */
  readonly read: () => Promise<LoadedConfig>
  readonly env: Environment
  readonly release: string
  readonly log: Log
  readonly acceptJournalLoss: boolean
  /** The book cannot be written any more; what runs has been told. */
  readonly onFailure: (error: Error) => void
  /** Another process asks to take this gateway's place: whoever runs it ends it, and says how long that may take. */
  readonly onHandOver?: () => HandOver
  /** Take the place of the gateway that runs on the same data. */
  readonly takeOver?: TakeOver | undefined
  /** The machine's, unless a test moves time. */
  readonly clock?: Clock
  /** A test breaks the journal's disk here. */
  readonly openJournal?: RecordingEvents['openJournal']
}

export class App {
  readonly #options: AppOptions
  readonly #recorder: Recorder
  readonly #accounts: Accounts
  readonly #gate: Gate
  readonly #doors: Doors
  readonly #reading: Reading
  readonly #ledger: Ledger
  #control: ControlServer | undefined
  #sweep: Disposable | undefined
  #sweeps = 0
  #reminder: Disposable | undefined
  /** By the steady clock. */
  #stopBy = Number.POSITIVE_INFINITY
  #stopped: Promise<void> | undefined

  private constructor(
    options: AppOptions,
    {
      recorder,
      accounts,
      gate,
      room,
      kek,
    }: { recorder: Recorder; accounts: Accounts; gate: Gate; room?: WaitingRoom; kek: Uint8Array },
  ) {
    const { log, release, loaded } = options
    this.#options = options
    this.#recorder = recorder
    this.#accounts = accounts
    this.#gate = gate
    this.#reading = Reading.start({
      directory: loaded.config.gateway.data_dir,
      kek,
      labels: () => labelsOf(gate.inForce.loaded.config),
      nameOf: (sub) => accounts.userOf(sub),
      note: async (event) => {
        try {
          await recorder.committed(gate.note(event).mark)
        } catch (error) {
          log.unexpected(error)
          throw new NoAnswer('late', 'this gateway cannot record, so it shows nothing')
        }
      },
      onFault: (error) => log.unexpected(error),
    })
    this.#ledger = Ledger.open(bookFiles(loaded.config.gateway.data_dir).book)
    const web = new Web({
      ...{ gate, accounts, release, library: this.#reading.library, ledger: this.#ledger },
      rights: (person) => readingRights(gate.inForce.loaded.config, person, gate.parts.clock.now()),
      listening: () => this.listening,
    })
    this.#doors = new Doors({ gate, web, room, log, release })
  }

  /** Everything is open when this resolves; when it rejects, nothing is. */
  static async start(options: AppOptions): Promise<App> {
    await using undo = new AsyncDisposableStack()
    const { loaded, clock = systemClock, openJournal } = options
    const { config } = loaded
    const inForce = await readInForce(options)
    const directory = await readDirectory(config, options.env)
    const accounts = undo.use(Accounts.open(join(config.gateway.data_dir, 'accounts.db'), { clock }))
    let app: App | undefined
    const taking =
      options.takeOver === undefined
        ? undefined
        : undo.use(await takeOver({ ...options, clock }, options.takeOver))
    const open = (): Promise<Recorder> =>
      startRecorder(options, {
        onState: (state) => {
          if (state === 'suspended') options.log.recordingSuspended({ why: 'disk', error: undefined })
          else if (state === 'open') options.log.recordingResumed()
        },
        onFailure: (error) => app?.fail(error),
        ...(openJournal === undefined ? {} : { openJournal }),
      })
    const recorder = await (taking === undefined ? open() : taking.whenFree(open))
    undo.defer(() => recorder.stop())
    const authenticator = new Authenticator(directory, {
      accounts,
      clock,
      tell: (event) => gate.noteRefusedLogin(event),
    })
    growSteadily()
    const gate = new Gate(
      {
        recorder,
        authenticator,
        live: new LiveConnections(),
        cancels: new Cancels(clock),
        threads: new Threads(),
        sql: await SqlReader.load(),
        greetings: new Greetings(join(config.gateway.data_dir, 'greetings.json')),
        clock,
        nursery: new Nursery(youngCollection()),
        log: options.log,
        random: (length) => randomBytes(length),
      },
      inForce,
    )
    app = new App(options, {
      recorder,
      accounts,
      gate,
      kek: await readKekBytes(options),
      ...(taking === undefined ? {} : { room: taking.room }),
    })
    const built = app
    undo.defer(() => built.#reading.stop())
    undo.defer(() => built.#closeDoors())
    const effective = canonicalText(effectiveConfig(config))
    gate.note({ type: 'config', act: 'load', private: { effective, changes: [] } })
    app.#tellActs()
    for (const [name, listener] of config.listeners) await app.#doors.listen(name, listener)
    app.#control = await app.#openControl()
    app.#sweepLater()
    undo.move()
    return app
  }

  get listening(): readonly ListeningAt[] {
    return this.#doors.at
  }

  /** What the book says, for whoever shows it; each question is a record before it is answered. */
  get library(): Library {
    return this.#reading.library
  }

  get vkey(): string {
    return this.#recorder.opened.vkey
  }

  /** Puts another configuration in force. Sessions whose grant is gone end; all others go on under the new one. */
  async reload(loaded: LoadedConfig): Promise<readonly string[]> {
    const { gateway } = this.#gate.inForce.loaded.config
    const { name, data_dir: data } = loaded.config.gateway
    if (name !== gateway.name || data !== gateway.data_dir) {
      throw new OperatorError(
        'config',
        'the name and the data_dir of a running gateway cannot change: restart it',
      )
    }
    requireJournal(loaded)
    const options = { ...this.#options, loaded }
    const inForce = await readInForce(options)
    const directory = await readDirectory(loaded.config, this.#options.env)
    // The last thing that can fail; what is in force changes only behind it.
    const takeDoors = await this.#doors.relisten(loaded)
    const before = effectiveConfig(this.#gate.inForce.loaded.config)
    const after = effectiveConfig(loaded.config)
    const changes = compareConfigs(before, after).map(describeChange)
    this.#gate.note({ type: 'config', act: 'reload', private: { effective: canonicalText(after), changes } })
    this.#gate.replace(inForce)
    this.#gate.parts.authenticator.reload(directory)
    this.#renewGrants()
    takeDoors()
    this.#options.log.configLoaded({ file: loaded.places.file, changes: changes.length })
    return changes
  }

  /**
   * Takes no new sessions, ends the open ones where nothing is under way, and all of them after `graceMs`. A further
   * call only hurries the first.
   */
  stop(graceMs: number): Promise<void> {
    this.#stopBy = Math.min(this.#stopBy, this.#gate.parts.clock.steady() + graceMs)
    this.#stopped ??= this.#end()
    return this.#stopped
  }

  async #end(): Promise<void> {
    await drain({
      gate: this.#gate,
      refuse: () => this.#doors.refuse(),
      connections: () => this.#doors.connections.reduce((sum, { count }) => sum + count, 0),
      stopBy: () => this.#stopBy,
    })
    await this.#closeDoors()
    this.#gate.parts.authenticator.flush()
    await this.#reading.stop()
    await this.#recorder.stop()
    this.#accounts[Symbol.dispose]()
    this.#ledger[Symbol.dispose]()
  }

  /** Everything that ends by itself: idle and overdue sessions, revoked tokens, hours that have passed. */
  #sweepLater(): void {
    const { live, clock } = this.#gate.parts
    this.#sweep = clock.after(SWEEP_MS, () => {
      try {
        live.endOverdue(clock.now())
        this.#endRevoked()
        if (++this.#sweeps % RENEW_EVERY_SWEEPS === 0) this.#renewGrants()
        this.#tellActs()
      } catch (error) {
        this.#options.log.unexpected(error)
      }
      this.#sweepLater()
    })
  }

  #endRevoked(): void {
    const { live, clock } = this.#gate.parts
    if (live.size === 0) return
    const now = clock.now()
    const tokens = this.#accounts
      .tokens()
      .filter(({ revoked, expires }) => revoked === undefined && expires > now)
    const valid = new Set(tokens.map(({ id }) => id))
    for (const connection of live.list()) {
      const { token } = connection.grant().identity.facts
      if (token !== undefined && !valid.has(token)) {
        connection.end({ why: 'admin', message: 'its token was revoked or has expired' })
      }
    }
  }

  #renewGrants(): void {
    const { live, clock } = this.#gate.parts
    const byGrant = new Map(live.list().map((connection) => [connection.grant(), connection]))
    const { gone, kept } = renewAll(byGrant.keys(), this.#gate.inForce.loaded, clock.now())
    for (const { grant, denial } of gone) byGrant.get(grant)?.end({ why: 'admin', message: denial.what })
    for (const [old, renewed] of kept) byGrant.get(old)?.renew(renewed)
  }

  /** What commands did to the accounts while no gateway ran, or beside this one. */
  #tellActs(): void {
    const acts = this.#accounts.pendingActs()
    const last = acts.at(-1)
    if (last === undefined) return
    let mark = 0
    for (const { event } of acts) mark = this.#gate.note(event).mark
    this.#recorder.wait(mark, 'durable').then(
      () => this.#accounts.actsTold(last.id),
      (error: unknown) => this.#options.log.unexpected(error),
    )
  }

  #openControl(): Promise<ControlServer> {
    const { control } = this.#gate.inForce.loaded.config.gateway
    return ControlServer.open({
      socket: control.socket,
      requireToken: control.require_token,
      commands: controlCommands({
        gate: this.#gate,
        reload: () => this.#reloadFile(),
        handOver: () => this.#handOver(),
        read: (question, sub, why) => this.#read(question, sub, why),
      }),
      identify: async (secret) => this.#identify(secret),
      onFault: (error) => this.#options.log.unexpected(error),
    })
  }

  /** Whoever reaches the control socket is an administrator, whatever name the book has for them. */
  async #read(question: unknown, sub: string, reason: string | undefined): Promise<unknown> {
    const rights = localRights(this.#gate.inForce.loaded.config)
    const asker = { sub, rights, ...(reason === undefined ? {} : { reason }) }
    try {
      return { answer: await this.library.ask(question as Question, asker) }
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error
      const { code, message, column } = error
      return { refused: { code, message, column } }
    }
  }

  #handOver(): HandOver {
    const { onHandOver } = this.#options
    if (onHandOver !== undefined) return onHandOver()
    throw new OperatorError('usage', 'this gateway cannot be taken over: stop it first')
  }

  /** Who may reach the socket is the folder's mode to say; the token says whom the book names. */
  #identify(secret: string): Caller | undefined {
    const token = this.#accounts.ownerOf(secret)
    if (token === undefined || !this.#gate.inForce.loaded.config.users.has(token.user)) return undefined
    this.#accounts.tokenUsed(token)
    return { sub: this.#accounts.subjectOf(token.user) }
  }

  async #reloadFile(): Promise<readonly string[]> {
    return this.reload(await this.#options.read())
  }

  /** Running sessions are told and end, and whoever started us ends the process; or all goes on, and the log says so. */
  fail(error: Error): void {
    this.#options.log.recordingSuspended({ why: 'store', error })
    if (this.#recorder.failure === undefined) {
      this.#remindOfGap(error)
      return
    }
    this.#gate.drain()
    for (const connection of this.#gate.parts.live.list()) {
      connection.end({ why: 'stop', message: 'the book cannot be written' })
    }
    this.#options.onFailure(error)
  }

  #remindOfGap(error: Error): void {
    this.#reminder = this.#gate.parts.clock.after(REMIND_MS, () => {
      this.#options.log.passingUnrecorded({ operations: this.#recorder.gaps.total, error })
      this.#remindOfGap(error)
    })
  }

  async #closeDoors(): Promise<void> {
    this.#sweep?.[Symbol.dispose]()
    this.#reminder?.[Symbol.dispose]()
    this.#doors.close()
    await this.#control?.close()
  }
}
