/** What happened in a session, in its order: a bar of time above, the rows below, and the one that is open beside. */
import type { JSX } from 'preact'
import type { Row, SessionRow } from '../../http/api.ts'
import { bytes, flat, number, offset, span } from '../format.ts'
import { RecordPanel } from '../parts/record-panel.tsx'
import { Empty, Outcome, Recorded } from '../parts/small.tsx'
import { type Column, VirtualList } from '../parts/virtual-list.tsx'

interface TimelineProps {
  readonly session: SessionRow
  readonly rows: readonly Row[]
  readonly open: string | undefined
  readonly reason: string | undefined
  readonly onReason: (reason: string) => void
  readonly onOpen: (record: string) => void
}

export function Timeline({ session, rows, open, reason, onReason, onOpen }: TimelineProps): JSX.Element {
  const longest = Math.max(1, ...rows.map(({ duration = 0 }) => duration))
  const opened = open !== undefined
  const columns = columnsOf(session, longest).filter(({ extra }) => !opened || extra !== true)
  return (
    <section class="timeline" aria-label="What happened">
      <TimeBar session={session} rows={rows} open={open} onOpen={onOpen} />
      {rows.length === 0 ? (
        <Empty>Nothing was done in this session yet.</Empty>
      ) : (
        <div class={open === undefined ? 'beside' : 'beside opened'}>
          <VirtualList
            label="Timeline"
            rows={rows}
            columns={columns}
            keyOf={({ id }) => id}
            selected={rows.find(({ record }) => record === open)?.id}
            onOpen={({ record }) => onOpen(record)}
            rowClass={({ outcome }) => outcome ?? ''}
          />
          {open !== undefined && <RecordPanel record={open} reason={reason} onReason={onReason} />}
        </div>
      )}
    </section>
  )
}

/** What is opened beside says the rest. */
interface TimelineColumn extends Column<Row> {
  readonly extra?: boolean
}

function isOperation({ kind }: Row): boolean {
  return kind.startsWith('op') || kind === 'command' || kind === 'decision'
}

function columnsOf(session: SessionRow, longest: number): readonly TimelineColumn[] {
  return [
    {
      name: 'At',
      width: '5.2rem',
      end: true,
      cell: ({ ts }) => <span class="quiet">+{offset(Math.max(0, ts - session.opened))}</span>,
    },
    {
      name: 'What',
      width: '6.5rem',
      cell: (row) =>
        isOperation(row) ? (
          <b>
            {row.parent !== undefined && <span title="within the one before">↳ </span>}
            {row.verbs?.[0] ?? row.action.replace(/^\w+\./, '')}
          </b>
        ) : (
          <span class="quiet">{row.action}</span>
        ),
    },
    {
      name: 'Text',
      width: 'minmax(12rem, 1fr)',
      cell: ({ text, withheld, why }) =>
        (text ?? '') === '' && withheld === undefined ? (
          <span class="quiet">
            <bdi>{flat(why ?? '')}</bdi>
          </span>
        ) : (
          <Recorded text={text} withheld={withheld} />
        ),
    },
    {
      name: 'Outcome',
      width: '8rem',
      cell: (row) => (isOperation(row) ? <Outcome outcome={row.outcome} code={row.code} /> : ''),
    },
    {
      name: 'Rows',
      width: '4rem',
      end: true,
      cell: ({ rows: count, bytes: size }) =>
        count !== undefined ? number(count) : size !== undefined ? bytes(size) : '',
    },
    {
      name: 'Took',
      width: '8.5rem',
      end: true,
      cell: ({ duration }) =>
        duration === undefined ? (
          ''
        ) : (
          <span class="took">
            <span
              class="took-bar"
              aria-hidden="true"
              style={{ width: `${Math.max(2, (duration / longest) * 60)}px` }}
            />
            {span(duration)}
          </span>
        ),
    },
    {
      name: 'Record',
      width: '8.5rem',
      extra: true,
      cell: ({ record }) => <code class="quiet">{record}</code>,
    },
  ]
}

/** At most so many marks: more would not be told apart. */
const MARKS_MAX = 600

function TimeBar({
  session,
  rows,
  open,
  onOpen,
}: Pick<TimelineProps, 'session' | 'rows' | 'open' | 'onOpen'>): JSX.Element | null {
  const timed = rows
    .filter(({ kind }) => kind !== 'session.open' && kind !== 'session.close')
    .slice(0, MARKS_MAX)
  if (timed.length < 2) return null
  const end = Math.max(session.closed ?? 0, ...timed.map(({ ts, duration = 0 }) => ts + duration))
  const whole = Math.max(1, end - session.opened)
  return (
    // The list below says the same in words; this is for the eye and the mouse.
    <div class="time-bar" aria-hidden="true">
      {timed.map(({ id, ts, duration = 0, outcome, record, text }) => (
        // biome-ignore lint/a11y/noStaticElementInteractions: hidden from assistive technology; the list takes the keys.
        // biome-ignore lint/a11y/useKeyWithClickEvents: as above.
        <i
          key={id}
          class={`${outcome ?? 'running'} ${record === open ? 'selected' : ''}`}
          title={flat(text ?? '').slice(0, 80)}
          style={{
            left: `${((ts - session.opened) / whole) * 100}%`,
            width: `max(2px, ${(duration / whole) * 100}%)`,
          }}
          onClick={() => onOpen(record)}
        />
      ))}
    </div>
  )
}
