/** Counts over time as bars: drag over them to look closer; the same as a table for whoever cannot see it. */
import type { JSX } from 'preact'
import { useRef, useState } from 'preact/hooks'
import type { Histogram as Counts } from '../../http/api.ts'
import { moment, number, span } from '../format.ts'

interface HistogramProps {
  readonly counts: Counts
  readonly label: string
  readonly onRange?: (from: number, to: number) => void
}

const HEIGHT = 72

export function Histogram({
  counts: { from, barMicros, counts },
  label,
  onRange,
}: HistogramProps): JSX.Element {
  const frame = useRef<SVGSVGElement>(null)
  const [drag, setDrag] = useState<{ start: number; end: number }>()
  const [table, setTable] = useState(false)
  const most = Math.max(1, ...counts)
  const at = (event: PointerEvent): number => {
    const box = frame.current?.getBoundingClientRect()
    if (box === undefined || box.width === 0) return 0
    const place = Math.floor(((event.clientX - box.left) / box.width) * counts.length)
    return Math.max(0, Math.min(counts.length - 1, place))
  }
  const finish = (): void => {
    if (drag === undefined) return
    setDrag(undefined)
    const [first, last] = [Math.min(drag.start, drag.end), Math.max(drag.start, drag.end)]
    onRange?.(from + first * barMicros, from + (last + 1) * barMicros)
  }
  const end = from + counts.length * barMicros
  return (
    <figure class="histogram" aria-label={label}>
      <svg
        ref={frame}
        viewBox={`0 0 ${Math.max(1, counts.length)} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${label}: at most ${number(most)} in ${span(barMicros)}`}
        class={onRange === undefined ? '' : 'draggable'}
        onPointerDown={(event) => {
          if (onRange === undefined) return
          event.currentTarget.setPointerCapture(event.pointerId)
          setDrag({ start: at(event), end: at(event) })
        }}
        onPointerMove={(event) => drag !== undefined && setDrag({ ...drag, end: at(event) })}
        onPointerUp={finish}
        onPointerCancel={() => setDrag(undefined)}
      >
        {counts.map((count, i) => {
          const height = count === 0 ? 0 : Math.max(2, (count / most) * (HEIGHT - 4))
          return (
            <rect key={i} x={i + 0.08} y={HEIGHT - height} width={0.84} height={height}>
              <title>{`${moment(from + i * barMicros)}: ${number(count)}`}</title>
            </rect>
          )
        })}
        {drag !== undefined && (
          <rect
            class="dragged"
            x={Math.min(drag.start, drag.end)}
            y={0}
            width={Math.abs(drag.end - drag.start) + 1}
            height={HEIGHT}
          />
        )}
      </svg>
      <figcaption>
        <span>{moment(from).slice(0, 16)}</span>
        <span class="quiet">
          a bar is {span(barMicros)}
          {onRange !== undefined && ', drag to look closer'}{' '}
          <button type="button" class="link" aria-expanded={table} onClick={() => setTable(!table)}>
            {table ? 'hide the table' : 'show as table'}
          </button>
        </span>
        <span>{moment(end).slice(0, 16)}</span>
      </figcaption>
      {table && (
        <table class="plain">
          <thead>
            <tr>
              <th>From (UTC)</th>
              <th class="end">Count</th>
            </tr>
          </thead>
          <tbody>
            {counts.map((count, i) =>
              count === 0 ? null : (
                <tr key={i}>
                  <td>{moment(from + i * barMicros)}</td>
                  <td class="end">{number(count)}</td>
                </tr>
              ),
            )}
          </tbody>
        </table>
      )}
    </figure>
  )
}
