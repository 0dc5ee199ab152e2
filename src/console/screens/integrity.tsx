/** The book as evidence: what it claims to be, and checking that here, without believing the gateway. */
import type { JSX, TargetedSubmitEvent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { BookAnswer } from '../../http/api.ts'
import { ask, me, request } from '../client.ts'
import { flat, number } from '../format.ts'
import { problemFacts, Show, useLoad } from '../parts/load.tsx'
import { Copy, RecordedBlock } from '../parts/small.tsx'
import { href } from '../router.ts'
import { type ProvenRecord, verifyProof } from '../verify/proof.ts'
import type { WalkOrder, WalkSaid } from '../verify/worker.ts'

export function IntegrityScreen(): JSX.Element {
  const loaded = useLoad('book', (signal) => ask<BookAnswer>('/book', { signal }))
  return (
    <div class="integrity">
      <h1>Integrity</h1>
      <Show of={loaded}>{(book) => <Shown book={book} onAgain={loaded.reload} />}</Show>
    </div>
  )
}

/** Plain HTTP under another name than this machine's has no cryptography to offer. */
const CAN_VERIFY = globalThis.crypto?.subtle !== undefined

function Shown({ book, onAgain }: { readonly book: BookAnswer; readonly onAgain: () => void }): JSX.Element {
  const [vkey, setVkey] = useState(book.vkey)
  return (
    <>
      <section class="panel">
        <h2>The book {book.origin}</h2>
        <dl class="facts">
          <dt>Records</dt>
          <dd>
            {number(book.size)}
            {book.first > 0 && ` (those below ${number(book.first)} were removed in order)`}
          </dd>
          <dt>State</dt>
          <dd>{book.state === 'open' ? '✓ records' : `✕ ${book.state}`}</dd>
          <dt>Command</dt>
          <dd>
            <code class="recorded">gatebook verify --key '{book.vkey}'</code>{' '}
            <Copy text={`gatebook verify --key '${book.vkey}'`} />
          </dd>
        </dl>
        <details>
          <summary>Newest signed checkpoint</summary>
          <RecordedBlock text={book.head} label="Checkpoint" />
        </details>
        <label class="wide key-field">
          Public key to check against
          <input
            value={vkey}
            spellcheck={false}
            onInput={(event) => setVkey(event.currentTarget.value.trim())}
          />
        </label>
        <p class="notice">
          {vkey === book.vkey ? (
            <>
              ⚠ This key came with this page. Whoever could change the book could change it too: it proves
              something only once you have <b>compared it with the one that is kept elsewhere</b>.
            </>
          ) : (
            'This is not the key that came with this page. If it is the one you keep elsewhere, trust yours.'
          )}
        </p>
        {!CAN_VERIFY && <p class="notice">Checking in the browser needs HTTPS. gatebook verify does not.</p>}
      </section>
      {CAN_VERIFY && me.value?.sees.verify === true && <Walk book={book} vkey={vkey} onAgain={onAgain} />}
      {CAN_VERIFY && <Paste vkey={vkey} />}
    </>
  )
}

interface WalkProps {
  readonly book: BookAnswer
  readonly vkey: string
  readonly onAgain: () => void
}

function Walk({ book, vkey, onAgain }: WalkProps): JSX.Element {
  const [said, setSaid] = useState<WalkSaid>()
  const [began, setBegan] = useState(0)
  const worker = useRef<Worker>(undefined)
  useEffect(() => () => worker.current?.terminate(), [])
  const cancel = (): void => {
    worker.current?.terminate()
    worker.current = undefined
    setSaid(undefined)
  }
  const start = async (): Promise<void> => {
    cancel()
    setBegan(performance.now())
    // What the book is now, not what it was when the page was opened.
    const now = await ask<BookAnswer>('/book')
    const started = new Worker(new URL('../verify/worker.ts', import.meta.url), { type: 'module' })
    worker.current = started
    started.onmessage = ({ data }: MessageEvent<WalkSaid>) => {
      setSaid(data)
      if (data.type !== 'progress') started.terminate()
      if (data.type === 'good') onAgain()
    }
    started.onerror = () => setSaid({ type: 'failed', why: 'the checking program could not be started' })
    setSaid({ type: 'progress', done: 0, size: now.size })
    started.postMessage({ head: now.head, first: now.first, vkey } satisfies WalkOrder)
  }
  const running = said?.type === 'progress'
  return (
    <section class="panel" aria-labelledby="walk-title">
      <h2 id="walk-title">Check the whole book in this browser</h2>
      <p class="quiet">
        Fetches every record as it lies in the book and computes all hashes and signatures here. Payloads stay
        sealed.
      </p>
      <p class="actions">
        <button
          type="button"
          class="primary"
          disabled={running}
          onClick={() => {
            start().catch((error: unknown) => setSaid({ type: 'failed', why: problemFacts(error).what }))
          }}
        >
          Verify in this browser
        </button>
        {running && (
          <button type="button" onClick={cancel}>
            Cancel
          </button>
        )}
      </p>
      <div role="status" aria-live="polite">
        {said !== undefined && <WalkState said={said} began={began} origin={book.origin} />}
      </div>
    </section>
  )
}

function WalkState({
  said,
  began,
  origin,
}: {
  readonly said: WalkSaid
  readonly began: number
  readonly origin: string
}): JSX.Element {
  switch (said.type) {
    case 'progress': {
      const speed = said.done / Math.max(0.001, (performance.now() - began) / 1000)
      return (
        <p>
          <progress max={Math.max(1, said.size)} value={said.done} aria-label="Records checked" />{' '}
          {number(said.done)} / {number(said.size)}{' '}
          <span class="quiet">{number(Math.round(speed))} a second</span>
        </p>
      )
    }
    case 'good': {
      const { size, checkpoints, keys, root } = said.verdict
      return (
        <p class="verdict good">
          ✓ {origin} holds: {number(size)} records in an unbroken chain, {number(checkpoints)} signed
          checkpoints, {keys === 1 ? 'one key' : `${keys} keys`}. Root <code>{root.slice(0, 16)}…</code>
          <br />
          Not looked at here: payloads, checkpoints kept elsewhere, what the journal may still hold.
        </p>
      )
    }
    case 'broken':
      return (
        <div class="verdict bad" role="alert">
          ✕ BROKEN at record {number(said.seq)}: {flat(said.why)}.
          <br />
          {said.lastGood > 0
            ? `What lies below ${number(said.lastGood)} is as it was signed.`
            : 'No checkpoint before it holds.'}{' '}
          <a href={href(`/r/${said.seq}`)}>Look at it</a>
        </div>
      )
    case 'failed':
      return (
        <p class="verdict bad" role="alert">
          It could not be checked to the end: {flat(said.why)}.
        </p>
      )
  }
}

type Pasted =
  | { readonly type: 'proven'; readonly record: ProvenRecord; readonly asked?: string }
  | { readonly type: 'refuted'; readonly why: string }

/** `…/r/184302-9f2c1b77`, or the record alone. */
const LINK = /(?:^|\/r\/)(\d{1,15})(?:-([0-9a-f]{8}))?\/?(?:\?.*)?$/

function Paste({ vkey }: { readonly vkey: string }): JSX.Element {
  const [pasted, setPasted] = useState<Pasted>()
  const check = async (given: string): Promise<Pasted> => {
    const link = LINK.exec(given.trim())
    if (link === null) return { type: 'proven', record: await verifyProof(given, vkey) }
    const [, seq = '', digits] = link
    const proof = await (await request(`/records/${seq}/proof`)).text()
    const record = await verifyProof(proof, vkey)
    if (record.seq !== Number(seq))
      return { type: 'refuted', why: 'the gateway gave the proof of another record' }
    if (digits !== undefined && !record.hash.startsWith(digits)) {
      return {
        type: 'refuted',
        why: `record ${seq} is in the book, and its hash begins with ${record.hash.slice(0, 8)}, not with ${digits}: the link is of another record, or the book was changed since`,
      }
    }
    return { type: 'proven', record }
  }
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault()
    setPasted(undefined)
    check(String(new FormData(event.currentTarget).get('evidence'))).then(setPasted, (error: unknown) =>
      setPasted({ type: 'refuted', why: error instanceof Error ? error.message : String(error) }),
    )
  }
  return (
    <section class="panel">
      <h2>Check a proof or a link</h2>
      <form onSubmit={submit}>
        <label class="wide">
          A proof (JSON), or a link to a record
          <textarea
            rows={3}
            spellcheck={false}
            name="evidence"
            required
            placeholder="https://gw.example.com/r/184302-9f2c1b77"
          />
        </label>
        <button type="submit">Check it</button>
      </form>
      <div role="status" aria-live="polite">
        {pasted?.type === 'proven' && (
          <>
            <p class="verdict good">
              ✓{' '}
              <a href={href(`/r/${pasted.record.seq}-${pasted.record.hash.slice(0, 8)}`)}>
                Record {pasted.record.seq}
              </a>{' '}
              is in the book under the checkpoint of size {number(pasted.record.size)}, signed by the key
              above.
            </p>
            <RecordedBlock text={pasted.record.leaf} label="The record" />
          </>
        )}
        {pasted?.type === 'refuted' && <p class="verdict bad">✕ Not proven: {flat(pasted.why)}.</p>}
      </div>
    </section>
  )
}
