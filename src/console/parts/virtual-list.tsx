/**
 * A list of any length: only the rows in view are in the page. Rows have one height; arrows, j and k move, Enter
 * opens, and the next page is asked for before its end is reached. To assistive technology it is a grid that knows
 * how many rows it has.
 */
import type { ComponentChildren, JSX, TargetedKeyboardEvent } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'

const ROW_PX = 30
const BEYOND = 12
/** Browsers draw no taller element than this; the rows behind it are reached by searching. */
const HEIGHT_PX_MAX = 15_000_000

export interface Column<T> {
  readonly name: string
  /** As in grid-template-columns. */
  readonly width: string
  readonly cell: (row: T) => ComponentChildren
  readonly end?: boolean
}

interface VirtualListProps<T> {
  readonly label: string
  readonly rows: readonly T[]
  readonly columns: readonly Column<T>[]
  readonly keyOf: (row: T) => string | number
  /** Of all there are, where it is known; else the rows so far. */
  readonly total?: number | undefined
  readonly selected?: string | number | undefined
  readonly onOpen: (row: T) => void
  /** Asked when the end comes near. */
  readonly onEnd?: (() => void) | undefined
  readonly rowClass?: (row: T) => string
  /** In pixels; fills what is left of the window unless given. */
  readonly height?: number
}

export function VirtualList<T>(props: VirtualListProps<T>): JSX.Element {
  const { label, rows, columns, keyOf, total, selected, onOpen, onEnd, rowClass, height } = props
  const frame = useRef<HTMLDivElement>(null)
  const [top, setTop] = useState(0)
  const [view, setView] = useState(600)
  const [active, setActive] = useState(0)
  const count = Math.min(rows.length, Math.floor(HEIGHT_PX_MAX / ROW_PX))
  const first = Math.max(0, Math.floor(top / ROW_PX) - BEYOND)
  const last = Math.min(count, Math.ceil((top + view) / ROW_PX) + BEYOND)
  const template = columns.map(({ width }) => width).join(' ')

  useLayoutEffect(() => {
    const element = frame.current
    if (element === null) return undefined
    const watch = new ResizeObserver(() => setView(element.clientHeight))
    watch.observe(element)
    return () => watch.disconnect()
  }, [])
  useEffect(() => {
    if (last >= count - BEYOND) onEnd?.()
  }, [last, count, onEnd])

  const move = (to: number): void => {
    const next = Math.max(0, Math.min(count - 1, to))
    setActive(next)
    const element = frame.current
    if (element === null) return
    const at = next * ROW_PX
    if (at < element.scrollTop) element.scrollTop = at
    else if (at + 2 * ROW_PX > element.scrollTop + element.clientHeight)
      element.scrollTop = at + 2 * ROW_PX - element.clientHeight
  }
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLDivElement>): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    // Buttons and links within a row answer for themselves.
    if (event.target !== event.currentTarget) return
    const page = Math.max(1, Math.floor(view / ROW_PX) - 1)
    const moves: Readonly<Record<string, number>> = {
      j: active + 1,
      ArrowDown: active + 1,
      k: active - 1,
      ArrowUp: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: count - 1,
    }
    const to = moves[event.key]
    const row = rows[active]
    if (to !== undefined) move(to)
    else if (event.key === 'Enter' && row !== undefined) onOpen(row)
    else return
    event.preventDefault()
  }
  return (
    <div
      ref={frame}
      class={`list ${height === undefined ? 'fill' : ''}`}
      role="grid"
      aria-label={label}
      aria-rowcount={(total ?? rows.length) + 1}
      aria-activedescendant={count > 0 ? `${label}-${active}`.replaceAll(' ', '-') : undefined}
      tabIndex={0}
      style={height === undefined ? {} : { height: `${height}px` }}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      onKeyDown={onKeyDown}
    >
      <div
        class="list-head"
        role="row"
        tabIndex={-1}
        aria-rowindex={1}
        style={{ gridTemplateColumns: template }}
      >
        {columns.map(({ name, end }) => (
          <span key={name} role="columnheader" class={end === true ? 'end' : ''}>
            {name}
          </span>
        ))}
      </div>
      <div role="rowgroup" class="list-body" style={{ height: `${count * ROW_PX}px` }}>
        {rows.slice(first, last).map((row, offset) => {
          const at = first + offset
          const key = keyOf(row)
          const classes = [
            'list-row',
            at === active ? 'active' : '',
            key === selected ? 'selected' : '',
            rowClass?.(row) ?? '',
          ]
          return (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the grid around it takes the keys for all its rows.
            <div
              key={key}
              id={`${label}-${at}`.replaceAll(' ', '-')}
              role="row"
              tabIndex={-1}
              aria-rowindex={at + 2}
              aria-selected={key === selected}
              class={classes.join(' ')}
              style={{ transform: `translateY(${at * ROW_PX}px)`, gridTemplateColumns: template }}
              onClick={() => {
                setActive(at)
                onOpen(row)
              }}
            >
              {columns.map(({ name, cell, end }) => (
                <span key={name} role="gridcell" class={end === true ? 'end' : ''}>
                  {cell(row)}
                </span>
              ))}
            </div>
          )
        })}
      </div>
    </div>
  )
}
