/**
 * A model of PostgreSQL's main loop (tcop/postgres.c), as far as the protocol shows it: names, transactions, what is
 * skipped until a Sync, what is ignored in and behind COPY. It runs texts of a toy language and is the witness for
 * which text really ran. Texts are statements joined by "; ":
 *
 *   select N · bad (a syntax error) · fail (an error when it runs) · begin · commit · rollback
 *   prepare NAME as … · deallocate NAME · deallocate all · discard all · declare NAME · close NAME · copy in · copy out
 */
import { Cutter, HEADER_BYTES } from '../../protocols/postgres/frames.ts'
import { decodeFrontend, type FrontendMessage } from '../../protocols/postgres/frontend.ts'
import { back } from './postgres-messages.ts'

export interface Witnessed {
  readonly text: string
  readonly outcome: 'ok' | 'error'
}

interface Portal {
  readonly text: string
  rowsLeft: number
}

/** An error of the toy server. */
class Failure extends Error {
  readonly code: string

  constructor(code: string) {
    super(code)
    this.code = code
  }
}

const name = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

/** Runs until it needs COPY data, then goes on with it. */
type Running = Generator<'copy data', void, FrontendMessage>

export class ModelServer {
  /** Every Query, and every Bind that failed or Execute that was processed, in order. */
  readonly witnessed: Witnessed[] = []
  readonly #cutter = new Cutter(() => 'whole')
  readonly #input: FrontendMessage[] = []
  #output: Uint8Array[] = []
  readonly #statements = new Map<string, string>()
  readonly #portals = new Map<string, Portal>()
  #status: 'I' | 'T' | 'E' = 'I'
  #skipping = false
  #running: Running | undefined

  get waiting(): number {
    return this.#input.length
  }

  get copying(): boolean {
    return this.#running !== undefined
  }

  receive(bytes: Uint8Array): void {
    this.#cutter.feed(bytes.slice())
    while (this.#cutter.next() === 'message') {
      const { tag, bytes: found, start, end } = this.#cutter
      this.#input.push(decodeFrontend(tag, found.slice(start + HEADER_BYTES, end)))
    }
  }

  /** Processes so many of the messages that wait, and gives what the server says meanwhile. */
  process(count: number): Uint8Array {
    for (let i = 0; i < count; i++) {
      const message = this.#input.shift()
      if (message === undefined) break
      if (this.#running !== undefined) this.#copying(this.#running, message)
      else this.#handle(message)
    }
    const said = Buffer.concat(this.#output)
    this.#output = []
    return new Uint8Array(said)
  }

  #say(...messages: Uint8Array[]): void {
    this.#output.push(...messages)
  }

  #copying(running: Running, message: FrontendMessage): void {
    if (message.type === 'sync' || message.type === 'flush') return
    this.#advance(running, message)
  }

  #advance(running: Running, message?: FrontendMessage): void {
    const step = message === undefined ? running.next() : running.next(message)
    this.#running = step.done === true ? undefined : running
  }

  #handle(message: FrontendMessage): void {
    if (message.type === 'sync') {
      this.#skipping = false
      this.#ready()
      return
    }
    if (this.#skipping) return
    switch (message.type) {
      case 'query':
        this.#advance(this.#query(Buffer.from(message.sql).toString()))
        break
      case 'parse':
        this.#extended(() => this.#parse(name(message.name), Buffer.from(message.sql).toString()))
        break
      case 'bind':
        this.#extended(() => this.#bind(name(message.portal), name(message.statement)))
        break
      case 'describe':
        this.#extended(() => {
          if (!this.#names(message.what).has(name(message.name))) throw new Failure('26000')
          this.#say(...(message.what === 'statement' ? [back.parameters()] : []), back.noData)
        })
        break
      case 'execute':
        this.#advance(this.#execute(name(message.portal), message.rows))
        break
      case 'close':
        this.#names(message.what).delete(name(message.name))
        this.#say(back.closeComplete)
        break
      default:
      // Flush; COPY data, which is ignored outside of COPY.
    }
  }

  #names(what: 'statement' | 'portal'): Map<string, unknown> {
    return what === 'statement' ? this.#statements : this.#portals
  }

  #ready(): void {
    if (this.#status === 'I') this.#portals.clear()
    this.#say(back.ready(this.#status))
  }

  #extended(act: () => void): void {
    try {
      act()
    } catch (problem) {
      this.#failExtended(problem)
    }
  }

  #fail(problem: unknown): void {
    if (!(problem instanceof Failure)) throw problem
    this.#say(back.error(problem.code, 'no'))
    if (this.#status === 'T') this.#status = 'E'
    // The implicit transaction is over, and its portals with it.
    if (this.#status === 'I') this.#portals.clear()
  }

  #failExtended(problem: unknown): void {
    this.#fail(problem)
    this.#skipping = true
  }

  #parse(statement: string, text: string): void {
    if (statement === '') this.#statements.delete('')
    if (text.includes('bad') || text.includes(';')) throw new Failure('42601')
    this.#demandTransaction(text)
    if (this.#statements.has(statement)) throw new Failure('42P05')
    this.#statements.set(statement, text)
    this.#say(back.parseComplete)
  }

  #bind(portal: string, statement: string): void {
    const text = this.#statements.get(statement)
    try {
      if (text === undefined) throw new Failure('26000')
      this.#demandTransaction(text)
      if (portal !== '' && this.#portals.has(portal)) throw new Failure('42P03')
      this.#portals.set(portal, { text, rowsLeft: rowsOf(text) })
      this.#say(back.bindComplete)
    } catch (problem) {
      this.witnessed.push({ text: text ?? '', outcome: 'error' })
      throw problem
    }
  }

  #demandTransaction(text: string): void {
    if (this.#status === 'E' && text !== 'rollback' && text !== 'commit') throw new Failure('25P02')
  }

  *#query(text: string): Running {
    this.#statements.delete('')
    this.#portals.delete('')
    let outcome: Witnessed['outcome'] = 'ok'
    try {
      if (text.includes('bad')) throw new Failure('42601')
      if (text === '') this.#say(back.emptyQuery)
      else for (const statement of text.split('; ')) yield* this.#run(statement, text)
    } catch (problem) {
      outcome = 'error'
      this.#fail(problem)
    }
    this.witnessed.push({ text, outcome })
    this.#ready()
  }

  *#execute(portalName: string, rows: number): Running {
    const portal = this.#portals.get(portalName)
    let outcome: Witnessed['outcome'] = 'ok'
    try {
      if (portal === undefined) throw new Failure('34000')
      const fetches = portal.text.startsWith('select') || portal.text.includes('declare')
      if (rows > 0 && fetches && this.#status !== 'E') {
        const given = Math.min(rows, portal.rowsLeft)
        portal.rowsLeft -= given
        for (let i = 0; i < given; i++) this.#say(back.row('1'))
        this.#say(given === rows ? back.suspended : back.complete(`SELECT ${given}`))
      } else if (portal.text.includes('declare') && this.#status !== 'E') this.#say(back.complete('FETCH 2'))
      else yield* this.#run(portal.text, portal.text)
    } catch (problem) {
      outcome = 'error'
      this.#failExtended(problem)
    }
    this.witnessed.push({ text: portal?.text ?? '', outcome })
  }

  *#run(statement: string, whole: string): Running {
    this.#demandTransaction(statement)
    const [verb = '', argument = ''] = statement.split(' ')
    switch (verb) {
      case 'select':
        for (let i = 0; i < rowsOf(statement); i++) this.#say(back.row('1'))
        this.#say(back.complete(`SELECT ${rowsOf(statement)}`))
        return
      case 'begin':
        this.#status = 'T'
        this.#say(back.complete('BEGIN'))
        return
      case 'commit':
      case 'rollback':
        this.#status = 'I'
        this.#portals.clear()
        this.#say(back.complete(verb === 'commit' ? 'COMMIT' : 'ROLLBACK'))
        return
      case 'prepare':
        if (this.#statements.has(argument)) throw new Failure('42P05')
        this.#statements.set(argument, whole)
        this.#say(back.complete('PREPARE'))
        return
      case 'deallocate':
        if (argument === 'all') this.#statements.clear()
        else if (!this.#statements.delete(argument)) throw new Failure('26000')
        this.#say(back.complete(argument === 'all' ? 'DEALLOCATE ALL' : 'DEALLOCATE'))
        return
      case 'discard':
        if (this.#status === 'T') throw new Failure('25001')
        this.#statements.clear()
        this.#say(back.complete('DISCARD ALL'))
        return
      case 'declare':
        if (this.#status !== 'T') throw new Failure('25P01')
        if (this.#portals.has(argument)) throw new Failure('42P03')
        this.#portals.set(argument, { text: whole, rowsLeft: 2 })
        this.#say(back.complete('DECLARE CURSOR'))
        return
      case 'close':
        if (!this.#portals.delete(argument)) throw new Failure('34000')
        this.#say(back.complete('CLOSE CURSOR'))
        return
      case 'copy':
        if (argument === 'in') yield* this.#copyIn()
        else this.#say(back.copyOut, back.copyData('1\n'), back.copyDone, back.complete('COPY 1'))
        return
      default:
        throw new Failure('22012')
    }
  }

  *#copyIn(): Running {
    this.#say(back.copyIn)
    let rows = 0
    for (;;) {
      const message = yield 'copy data'
      if (message.type === 'copy-done') break
      if (message.type === 'copy-fail') throw new Failure('57014')
      if (message.type !== 'copy-data') throw new Error(`the client sent ${message.type} into COPY data`)
      if (name(message.bytes) === 'bad') throw new Failure('22P02')
      rows++
    }
    this.#say(back.complete(`COPY ${rows}`))
  }
}

function rowsOf(text: string): number {
  return text.startsWith('select ') ? Number(text.split(' ')[1]) : 0
}
