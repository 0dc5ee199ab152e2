/**
 * A small model of a terminal's screen (VT100 with what shells and their line editors use of xterm): enough to
 * read a line as it stood there. Colours, character sets and tab stops other than every eighth are not kept.
 */

export interface Position {
  /** Counted from the first row there ever was, so that it stays true when the screen scrolls. */
  readonly row: number
  readonly column: number
}

interface Row {
  /**
   * Not always as wide as the screen: what a narrower one hides still stands in the line, and a line that went on in
   * the next row has no gap there when the screen is wider.
   */
  cells: Uint32Array
  /** The text goes on in the next row: the line was longer than the screen is wide. */
  wrapped: boolean
}

const COLUMNS_MAX = 1000
const ROWS_MAX = 500
const BLANK = 0x20
/** The private modes by which a full-screen program takes the screen, in their three spellings. */
export const ALTERNATE_MODES: readonly number[] = [47, 1047, 1049]
/** The second half of a wide character. */
const WIDE_REST = 0
const TAB = 8

export class Screen {
  #columns: number
  #height: number
  #rows: Row[]
  /** The number of the topmost row. */
  #top = 0
  #x = 0
  #y = 0
  /** The cursor stands on the last column, and the next character goes to the next row. */
  #wrapDue = false
  /** How far somebody has come who goes from a full row to the next by hand: \r \n \r, as readline redraws a line. */
  #byHand: 'none' | 'returned' | 'fed' = 'none'
  #autowrap = true
  #regionTop = 0
  #regionBottom: number
  #saved = { x: 0, y: 0 }
  #alternate: { rows: Row[]; x: number; y: number } | undefined
  #last = BLANK

  constructor(columns: number, rows: number) {
    this.#columns = clamp(columns, 1, COLUMNS_MAX)
    this.#height = clamp(rows, 1, ROWS_MAX)
    this.#regionBottom = this.#height - 1
    this.#rows = Array.from({ length: this.#height }, () => this.#blankRow())
  }

  /** A full-screen program has the screen. */
  get alternate(): boolean {
    return this.#alternate !== undefined
  }

  get position(): Position {
    return { row: this.#top + this.#y, column: this.#x + (this.#wrapDue ? 1 : 0) }
  }

  /** The first and the last row of the line that the cursor stands in. */
  get line(): { readonly first: number; readonly last: number } {
    let first = this.#y
    while (first > 0 && this.#rows[first - 1]?.wrapped) first--
    let last = this.#y
    while (this.#rows[last]?.wrapped && last < this.#height - 1) last++
    return { first: this.#top + first, last: this.#top + last }
  }

  /** The text from a position up to the end of a row, with line ends where the rows were not one line. */
  text(from: Position, lastRow: number): string {
    let found = ''
    for (let row = Math.max(from.row, this.#top); row <= lastRow; row++) {
      const { cells, wrapped } = this.#rows[row - this.#top] ?? this.#blankRow()
      const start = row === from.row ? from.column : 0
      let text = ''
      for (const cell of cells.subarray(start)) {
        if (cell !== WIDE_REST) text += String.fromCodePoint(cell)
      }
      found += wrapped ? text : `${text.trimEnd()}${row < lastRow ? '\n' : ''}`
    }
    return found
  }

  resize(columns: number, rows: number): void {
    const height = clamp(rows, 1, ROWS_MAX)
    this.#columns = clamp(columns, 1, COLUMNS_MAX)
    while (this.#rows.length > height && this.#y > height - 1) {
      this.#rows.shift()
      this.#top++
      this.#y--
    }
    this.#rows.length = Math.min(this.#rows.length, height)
    while (this.#rows.length < height) this.#rows.push(this.#blankRow())
    this.#height = height
    this.#regionTop = 0
    this.#regionBottom = height - 1
    this.#moveTo(this.#x, this.#y)
  }

  print(codePoint: number): void {
    const width = widthOf(codePoint)
    if (width === 0) return
    this.#byHand = 'none'
    if (this.#wrapDue && this.#autowrap) {
      this.#wrap(this.#row())
      this.#x = 0
      this.lineFeed()
    }
    this.#wrapDue = false
    const cells = this.#row().cells
    cells[this.#x] = codePoint
    if (width === 2 && this.#x + 1 < this.#columns) cells[this.#x + 1] = WIDE_REST
    this.#last = codePoint
    if (this.#x + width >= this.#columns) {
      this.#x = this.#columns - 1
      this.#wrapDue = true
    } else {
      this.#x += width
    }
  }

  lineFeed(): void {
    this.#byHand = this.#byHand === 'returned' ? 'fed' : 'none'
    this.#wrapDue = false
    if (this.#y === this.#regionBottom) this.#scrollUp()
    else if (this.#y < this.#height - 1) this.#y++
  }

  reverseLineFeed(): void {
    if (this.#y === this.#regionTop) this.#scrollDown()
    else if (this.#y > 0) this.#y--
  }

  carriageReturn(): void {
    const above = this.#byHand === 'fed' ? this.#rows[this.#y - 1] : undefined
    if (above !== undefined) this.#wrap(above)
    this.#byHand = this.#wrapDue ? 'returned' : 'none'
    this.#moveTo(0, this.#y)
  }

  backspace(): void {
    this.#moveTo(this.#x - 1, this.#y)
  }

  tab(): void {
    this.#moveTo((Math.floor(this.#x / TAB) + 1) * TAB, this.#y)
  }

  saveCursor(): void {
    this.#saved = { x: this.#x, y: this.#y }
  }

  restoreCursor(): void {
    this.#moveTo(this.#saved.x, this.#saved.y)
  }

  /** A control sequence whose parameters are numbers; 0 stands for one that was left out. */
  csi(final: string, [first = 0, second = 0]: readonly number[]): void {
    const n = Math.max(first, 1)
    const target = this.#target(final, n, Math.max(second, 1))
    if (target !== undefined) {
      this.#moveTo(target[0], target[1])
      return
    }
    switch (final) {
      case 'J':
        this.#eraseDisplay(first)
        break
      case 'K':
        this.#eraseLine(first)
        break
      case 'X':
        this.#blank(this.#row(), this.#x, this.#x + n)
        break
      case '@':
        this.#insert(n)
        break
      case 'P':
        this.#delete(n)
        break
      case 'L':
        this.#shiftRows(n, (from) => this.#scrollDown(from))
        break
      case 'M':
        this.#shiftRows(n, (from) => this.#scrollUp(from))
        break
      case 'S':
        this.#shiftRows(n, () => this.#scrollUp())
        break
      case 'T':
        this.#shiftRows(n, () => this.#scrollDown())
        break
      case 'b':
        for (let i = 0; i < Math.min(n, this.#columns); i++) this.print(this.#last)
        break
      case 'r':
        this.#regionTop = clamp(n - 1, 0, this.#height - 1)
        this.#regionBottom = clamp((second || this.#height) - 1, this.#regionTop, this.#height - 1)
        this.#moveTo(0, 0)
        break
      case 's':
        this.saveCursor()
        break
      case 'u':
        this.restoreCursor()
    }
  }

  /** Where a sequence that moves the cursor wants it; undefined for all others. */
  #target(final: string, n: number, second: number): readonly [number, number] | undefined {
    const x = this.#x
    const y = this.#y
    switch (final) {
      case 'A':
        return [x, y - n]
      case 'B':
      case 'e':
        return [x, y + n]
      case 'C':
      case 'a':
        return [x + n, y]
      case 'D':
        return [x - n, y]
      case 'E':
        return [0, y + n]
      case 'F':
        return [0, y - n]
      case 'G':
      case '`':
        return [n - 1, y]
      case 'd':
        return [x, n - 1]
      case 'H':
      case 'f':
        return [second - 1, n - 1]
      default:
        return undefined
    }
  }

  /** Private modes: autowrap, and the alternate screen. */
  mode(number: number, on: boolean): void {
    if (number === 7) this.#autowrap = on
    if (!ALTERNATE_MODES.includes(number)) return
    if (on && this.#alternate === undefined) {
      this.#alternate = { rows: this.#rows, x: this.#x, y: this.#y }
      this.#rows = Array.from({ length: this.#height }, () => this.#blankRow())
    } else if (!on && this.#alternate !== undefined) {
      const { rows, x, y } = this.#alternate
      this.#alternate = undefined
      this.#rows = rows
      this.#y = Math.min(y, rows.length - 1)
      this.resize(this.#columns, this.#height)
      this.#moveTo(x, this.#y)
    }
  }

  #row(): Row {
    const row = this.#rows[this.#y]
    if (row === undefined) throw new Error('the cursor has left the screen')
    this.#widen(row)
    return row
  }

  #blankRow(): Row {
    return { cells: new Uint32Array(this.#columns).fill(BLANK), wrapped: false }
  }

  #wrap(row: Row): void {
    row.wrapped = true
    row.cells = row.cells.subarray(0, this.#columns)
  }

  #widen(row: Row): void {
    if (row.cells.length >= this.#columns) return
    const cells = new Uint32Array(this.#columns).fill(BLANK)
    cells.set(row.cells)
    row.cells = cells
  }

  #moveTo(x: number, y: number): void {
    this.#x = clamp(x, 0, this.#columns - 1)
    this.#y = clamp(y, 0, this.#height - 1)
    this.#wrapDue = false
  }

  /** The topmost row of the whole screen goes out of sight, and all numbers with it. */
  #scrollUp(from = this.#regionTop): void {
    this.#rows.splice(from, 1)
    this.#rows.splice(this.#regionBottom, 0, this.#blankRow())
    if (from === 0 && this.#regionBottom === this.#height - 1 && this.#alternate === undefined) this.#top++
  }

  #scrollDown(from = this.#regionTop): void {
    this.#rows.splice(this.#regionBottom, 1)
    this.#rows.splice(from, 0, this.#blankRow())
  }

  #shiftRows(n: number, shift: (from: number) => void): void {
    if (this.#y < this.#regionTop || this.#y > this.#regionBottom) return
    for (let i = 0; i < Math.min(n, this.#height); i++) shift(this.#y)
  }

  #insert(n: number): void {
    const { cells } = this.#row()
    cells.copyWithin(this.#x + n, this.#x)
    cells.fill(BLANK, this.#x, this.#x + n)
  }

  #delete(n: number): void {
    const { cells } = this.#row()
    cells.copyWithin(this.#x, this.#x + n)
    cells.fill(BLANK, Math.max(cells.length - n, this.#x))
  }

  #blank(row: Row, from: number, to: number): void {
    const toEnd = to >= this.#columns
    row.cells.fill(BLANK, from, toEnd ? row.cells.length : to)
    if (toEnd) row.wrapped = false
  }

  #eraseLine(part: number): void {
    const from = part === 0 ? this.#x : 0
    this.#blank(this.#row(), from, part === 1 ? this.#x + 1 : this.#columns)
  }

  #eraseDisplay(part: number): void {
    // 3 is for what has scrolled out of sight, of which nothing is kept here.
    if (part > 2) return
    this.#eraseLine(part)
    this.#rows.forEach((row, y) => {
      const outside = part === 0 ? y > this.#y : part === 1 ? y < this.#y : true
      if (outside) this.#blank(row, 0, this.#columns)
    })
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high)
}

const NARROW_END = 0x300
const MARK = /^[\p{Mn}\p{Me}\p{Cf}]$/u

/** Columns that a character takes: none for marks, two for East Asian and pictures. */
function widthOf(codePoint: number): number {
  if (codePoint < NARROW_END) return 1
  if (WIDE.some(([from, to]) => codePoint >= from && codePoint <= to)) return 2
  return MARK.test(String.fromCodePoint(codePoint)) ? 0 : 1
}

const WIDE = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0xa4cf],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1f9ff],
  [0x20000, 0x3fffd],
] as const
