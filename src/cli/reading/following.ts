/** A search that goes on, over the WebSocket of a gateway elsewhere: its rows wait here until somebody takes them. */
import { once } from 'node:events'
import type { WebSocket } from 'ws'
import type { LiveSaid } from '../../http/api.ts'
import type { FollowAnswer, Row } from '../../read/answers.ts'
import { type FollowQuestion, NoAnswer } from '../../read/questions.ts'
import { OperatorError } from '../../system/operator-error.ts'
import { type RemoteGateway, refusal, told } from '../remote.ts'

/** Of the one subscription that a command has. */
const ID = 1
/** So long whoever follows waits for rows before they look whether they shall go on. */
const WAIT_MS = 250
/** What the gateway closes a socket with when its person may go on no longer. */
const POLICY = 1008

export class Following {
  readonly #socket: WebSocket
  readonly #gateway: RemoteGateway
  readonly #query: string
  #from: number | undefined
  /** The last row that came: after a gap it is asked for again from its record on. */
  #last = -1
  #rows: Row[] = []
  #ended: Error | undefined
  #wake: () => void = () => {}

  private constructor(gateway: RemoteGateway, socket: WebSocket, { query, from }: FollowQuestion) {
    this.#gateway = gateway
    this.#socket = socket
    this.#query = query
    this.#from = from
    socket.on('message', (data) => this.#take(JSON.parse(String(data)) as LiveSaid))
    socket.on('error', (error) => this.#end(gateway.failure(error)))
    socket.on('close', (code) => this.#end(this.#broken(code)))
  }

  /** Resolves when it has been asked for; that it is refused comes with the rows. */
  static async open(gateway: RemoteGateway, question: FollowQuestion): Promise<Following> {
    const socket = gateway.socket('/live')
    const following = new Following(gateway, socket, question)
    await Promise.race([once(socket, 'open'), once(socket, 'close')])
    following.#ask()
    return following
  }

  /** What has come since, or nothing after a while. */
  async next(): Promise<FollowAnswer> {
    if (this.#rows.length === 0 && this.#ended === undefined) {
      const waits = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      const late = setTimeout(() => this.#wake(), WAIT_MS)
      await waits
      clearTimeout(late)
    }
    const rows = this.#rows
    if (rows.length === 0 && this.#ended !== undefined) throw this.#ended
    this.#rows = []
    return { rows, cursor: this.#last }
  }

  #ask(): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    const from = this.#from === undefined ? {} : { from: this.#from }
    this.#socket.send(JSON.stringify({ type: 'follow', id: ID, query: this.#query, ...from }))
  }

  #take(said: LiveSaid): void {
    switch (said.type) {
      case 'rows':
        // The API has the rows as the Library has them.
        for (const row of said.rows as readonly Row[]) {
          if (row.id <= this.#last) continue
          this.#last = row.id
          this.#from = row.seq
          this.#rows.push(row)
        }
        this.#wake()
        return
      case 'gap':
        this.#ask()
        return
      case 'problem':
        this.#end(refusal(said, this.#gateway.origin))
        return
      case 'sessions':
        return
    }
  }

  #broken(code: number): Error {
    const what = `${this.#gateway.origin} has ended the following`
    if (code === POLICY) {
      return new NoAnswer(
        'right',
        told({ what, why: 'the token is not valid any longer, or its owner is gone' }),
      )
    }
    return new OperatorError(
      'target',
      told({ what, why: `the connection broke off (${code})`, next: 'ask again when the gateway is there' }),
    )
  }

  #end(error: Error): void {
    this.#ended ??= error
    this.#wake()
  }
}
