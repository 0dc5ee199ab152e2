/** The walk, off the page's thread: it asks the API itself and tells how far it is. */
import type { CheckpointsAnswer } from '../../http/api.ts'
import { Broken, type Verdict, verifyBook } from './walk.ts'

export interface WalkOrder {
  readonly head: string
  readonly first: number
  readonly vkey: string
}

export type WalkSaid =
  | { readonly type: 'progress'; readonly done: number; readonly size: number }
  | { readonly type: 'good'; readonly verdict: Verdict }
  | { readonly type: 'broken'; readonly seq: number; readonly lastGood: number; readonly why: string }
  | { readonly type: 'failed'; readonly why: string }

async function fetched(path: string): Promise<Response> {
  for (;;) {
    const response = await fetch(`/api/v1${path}`, { credentials: 'same-origin', cache: 'no-store' })
    if (response.ok) return response
    if (response.status !== 429) throw new Error(`the gateway answered ${response.status}`)
    // It asks us to go slower, and says by how much.
    const seconds = Number(response.headers.get('retry-after') ?? 1)
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  }
}

function say(said: WalkSaid): void {
  postMessage(said)
}

addEventListener('message', ({ data }: MessageEvent<WalkOrder>) => {
  const { head, first, vkey } = data
  const source = {
    head,
    first,
    leaves: async (from: number) =>
      new Uint8Array(await (await fetched(`/book/leaves?from=${from}`)).arrayBuffer()),
    checkpoints: async (above: number) =>
      (await (
        await fetched(`/book/checkpoints${above < 0 ? '' : `?above=${above}`}`)
      ).json()) as CheckpointsAnswer,
  }
  verifyBook(source, vkey, (done, size) => say({ type: 'progress', done, size })).then(
    (verdict) => say({ type: 'good', verdict }),
    (error: unknown) => {
      if (error instanceof Broken) {
        say({ type: 'broken', seq: error.seq, lastGood: error.lastGood, why: error.message })
      } else say({ type: 'failed', why: error instanceof Error ? error.message : String(error) })
    },
  )
})
