/** Somebody who works through the gateway all the while, and must not notice what others do to it. */
import { afterEach, beforeEach, expect } from 'vitest'
import { logIn, type RawSession } from '../../support/clients-raw.ts'
import type { TestGateway } from '../../support/gateway.ts'
import type { ReadBook, Session } from '../../support/gateway-book.ts'
import { as } from '../../support/gateway-shop.ts'

export class Bystander {
  readonly #session: RawSession
  readonly #gateway: TestGateway

  private constructor(session: RawSession, gateway: TestGateway) {
    this.#session = session
    this.#gateway = gateway
  }

  static async arrive(gateway: TestGateway): Promise<Bystander> {
    const session = await logIn(as('dave~orders', gateway.port()))
    await session.query('begin')
    return new Bystander(session, gateway)
  }

  /** Still in the same transaction of the same backend; newcomers are let in; the book verifies; no fault of ours is in the log. */
  async hasNoticedNothing(): Promise<void> {
    const told = await this.#session.query('select pg_backend_pid()')
    const [, row] = told
    expect(told.map(({ tag }) => tag).join('')).toBe('TDCZ')
    expect(row?.body.toString('latin1', 6)).toBe(String(this.#session.pid))
    expect(told.at(-1)?.body.toString()).toBe('T')
    const newcomer = await logIn(as('dave~orders', this.#gateway.port()))
    newcomer.destroy()
    this.#gateway.verify()
    expect(this.#gateway.log.filter((line) => line.includes('unexpected fault'))).toEqual([])
  }

  /** The book, as soon as it knows of them: those who came before stand in it too by then. */
  inTheBook(): Promise<ReadBook> {
    return this.#gateway.readWhen((book) => sessionOf(book, this.#session.socket.localPort) !== undefined)
  }

  leave(): void {
    this.#session.destroy()
  }
}

/** Before each test of the calling file one arrives, who has noticed nothing at its end. */
export function watchEachTest(gateway: () => TestGateway): () => Bystander {
  let bystander: Bystander
  beforeEach(async () => {
    bystander = await Bystander.arrive(gateway())
  })
  afterEach(async () => {
    await bystander.hasNoticedNothing()
    bystander.leave()
  })
  return () => bystander
}

/** The session that the book has of a connection, by the port that it came from. */
export function sessionOf({ sessions }: ReadBook, localPort: number | undefined): Session | undefined {
  return sessions.findLast(({ who }) => who['port'] === localPort)
}

/** What the book says of a connection once its session has ended. */
export async function endedSession(gateway: TestGateway, localPort: number | undefined): Promise<Session> {
  const isOver = (book: ReadBook): boolean => sessionOf(book, localPort)?.why !== undefined
  const found = sessionOf(await gateway.readWhen(isOver), localPort)
  if (found === undefined) throw new Error(`the book has no session from port ${localPort}`)
  return found
}
