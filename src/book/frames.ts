/** The frames of a recorded stream: FORMAT.md, 4.6. record/chunks.ts writes them. */

export type FrameKind = 'o' | 'e' | 'i' | 'r' | 'm' | 'x'

export interface Frame {
  /** Microseconds since the frame before; since the chunk's `t0` for the first. */
  readonly delay: number
  readonly kind: FrameKind
  readonly bytes: Uint8Array
}

/** Reads a chunk's body. It was sealed by us, so a body that does not decode is an error, never skipped. */
export function decodeFrames(body: Uint8Array): Frame[] {
  const frames: Frame[] = []
  let at = 0
  const leb128 = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = body[at++]
      if (byte === undefined || scale > 2 ** 49) throw new RangeError('a frame is cut short')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  while (at < body.length) {
    const delay = leb128()
    const kind = String.fromCharCode(body[at++] ?? 0)
    if (!isFrameKind(kind)) throw new RangeError(`unknown frame kind ${JSON.stringify(kind)}`)
    const length = leb128()
    if (at + length > body.length) throw new RangeError('a frame is cut short')
    frames.push({ delay, kind, bytes: body.subarray(at, at + length) })
    at += length
  }
  return frames
}

function isFrameKind(text: string): text is FrameKind {
  return text.length === 1 && 'oeirmx'.includes(text)
}
