/** A picture of how a cost grows with the size of the book, as an SVG without anything from elsewhere. */

export interface Line {
  readonly name: string
  readonly colour: string
  /** Records in the book, and the cost there. */
  readonly points: readonly (readonly [size: number, cost: number])[]
}

const WIDTH = 720
const HEIGHT = 300
const LEFT = 60
const RIGHT = 150
const TOP = 40
const BOTTOM = 50

/** Sizes stand on a logarithmic scale, with the empty book at its left end; costs begin at zero. */
export function drawCurve(title: string, unit: string, lines: readonly Line[]): string {
  const sizes = [...new Set(lines.flatMap(({ points }) => points.map(([size]) => size)))].sort(
    (a, b) => a - b,
  )
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([, cost]) => cost)))
  const top = niceAbove(most)
  const lowest = Math.log10((sizes.find((size) => size > 0) ?? 10) / 10)
  const highest = Math.log10(Math.max(10, ...sizes))
  const x = (size: number): number => {
    const at = size === 0 ? lowest : Math.log10(size)
    return LEFT + ((at - lowest) / (highest - lowest)) * (WIDTH - LEFT - RIGHT)
  }
  const y = (cost: number): number => HEIGHT - BOTTOM - (cost / top) * (HEIGHT - TOP - BOTTOM)
  const grid = [0, top / 4, top / 2, (3 * top) / 4, top].map(
    (cost) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${round(y(cost))}" y2="${round(y(cost))}" stroke="#ddd"/>` +
      `<text x="${LEFT - 8}" y="${round(y(cost)) + 4}" text-anchor="end">${round(cost)}</text>`,
  )
  const marks = sizes.map(
    (size) =>
      `<text x="${round(x(size))}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle">${words(size)}</text>`,
  )
  const curves = lines.map(({ name, colour, points }) => {
    const path = points.map(([size, cost]) => `${round(x(size))},${round(y(cost))}`).join(' ')
    const [size = 0, cost = 0] = points.at(-1) ?? []
    const dots = points.map(
      ([s, c]) => `<circle cx="${round(x(s))}" cy="${round(y(c))}" r="3" fill="${colour}"/>`,
    )
    return (
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${dots.join('')}` +
      `<text x="${round(x(size)) + 10}" y="${round(y(cost)) + 4}" fill="${colour}">${name} ${round(cost)}</text>`
    )
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="20" font-size="14">${title}</text>`,
    ...grid,
    ...marks,
    `<text x="${(WIDTH - RIGHT + LEFT) / 2}" y="${HEIGHT - 10}" text-anchor="middle">records in the book · ${unit}</text>`,
    ...curves,
    '</svg>\n',
  ].join('\n')
}

function niceAbove(value: number): number {
  const scale = 10 ** Math.floor(Math.log10(value))
  return ([1, 2, 4, 6, 8, 10].find((step) => step * scale >= value) ?? 10) * scale
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function words(size: number): string {
  if (size >= 1e6) return `${size / 1e6} M`
  return size >= 1e3 ? `${size / 1e3} k` : size === 0 ? 'empty' : String(size)
}
