/**
 * What a screen must have to be used without a mouse and without eyes, as far as a program can tell: names, labels,
 * roles, one heading, references that lead somewhere, contrast. Run in the page.
 */
import type { Page } from 'playwright-core'

const CONTRAST_MIN = 4.5
const CONTRAST_LARGE_MIN = 3

/** What is wrong, in words; nothing where all is well. */
export function faultsOf(page: Page): Promise<readonly string[]> {
  return page.evaluate(
    ({ least, leastLarge }) => {
      const faults: string[] = []
      const shown = (element: Element): boolean =>
        element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) &&
        element.closest('[aria-hidden="true"]') === null
      const describe = (element: Element): string =>
        `<${element.localName} class="${element.getAttribute('class') ?? ''}"> ${(element.textContent ?? '').trim().slice(0, 40)}`
      const byIds = (ids: string | null): string =>
        (ids ?? '')
          .split(/\s+/)
          .map((id) => document.getElementById(id)?.textContent ?? '')
          .join(' ')
          .trim()
      const nameOf = (element: Element): string => {
        const labels =
          element instanceof HTMLInputElement ||
          element instanceof HTMLSelectElement ||
          element instanceof HTMLTextAreaElement
            ? [...(element.labels ?? [])].map((label) => label.textContent ?? '').join(' ')
            : ''
        return (
          byIds(element.getAttribute('aria-labelledby')) ||
          element.getAttribute('aria-label') ||
          labels.trim() ||
          (element.matches('input,select,textarea') ? '' : (element.textContent ?? '').trim()) ||
          element.getAttribute('title') ||
          ''
        )
      }
      const named = 'a,button,input,select,textarea,summary,[role],nav,main,dialog,svg[role]'
      for (const element of document.querySelectorAll(named)) {
        if (!shown(element)) continue
        const role = element.getAttribute('role')
        if (['row', 'rowgroup', 'gridcell', 'status', 'alert', 'none', 'presentation'].includes(role ?? ''))
          continue
        if (element.localName === 'main') continue
        if (element.matches('[role="columnheader"]')) continue
        if (nameOf(element) === '') faults.push(`no name: ${describe(element)}`)
      }
      const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id)
      for (const id of new Set(ids))
        if (ids.filter((one) => one === id).length > 1) faults.push(`two of #${id}`)
      for (const attribute of [
        'aria-controls',
        'aria-describedby',
        'aria-labelledby',
        'aria-activedescendant',
      ]) {
        for (const element of document.querySelectorAll(`[${attribute}]`)) {
          for (const id of (element.getAttribute(attribute) ?? '').split(/\s+/))
            if (id !== '' && document.getElementById(id) === null)
              faults.push(`${attribute} leads to no #${id}`)
        }
      }
      const headings = [...document.querySelectorAll('h1')].filter((one) => one.checkVisibility())
      if (headings.length !== 1) faults.push(`${headings.length} headings of the first rank`)
      if (document.querySelectorAll('main').length !== 1) faults.push('not one main')
      if ((document.documentElement.lang ?? '') === '') faults.push('no language')
      if (document.title === '') faults.push('no title')
      for (const element of document.querySelectorAll('[tabindex]'))
        if (Number(element.getAttribute('tabindex')) > 0)
          faults.push(`an order of its own: ${describe(element)}`)
      for (const element of document.querySelectorAll('[onclick]'))
        faults.push(`a script in markup: ${describe(element)}`)

      const canvas = document.createElement('canvas')
      canvas.width = canvas.height = 1
      const pen = canvas.getContext('2d', { willReadFrequently: true })
      const parse = (colour: string): readonly number[] => {
        if (pen === null) return [0, 0, 0, 1]
        pen.clearRect(0, 0, 1, 1)
        pen.fillStyle = colour
        pen.fillRect(0, 0, 1, 1)
        const [r = 0, g = 0, b = 0, a = 0] = pen.getImageData(0, 0, 1, 1).data
        return [r, g, b, a / 255]
      }
      const over = (top: readonly number[], under: readonly number[]): readonly number[] => {
        const alpha = top[3] ?? 1
        return [0, 1, 2].map((i) => (top[i] ?? 0) * alpha + (under[i] ?? 0) * (1 - alpha))
      }
      const ground = (element: Element): readonly number[] => {
        const layers: (readonly number[])[] = []
        for (let at: Element | null = element; at !== null; at = at.parentElement) {
          const colour = parse(getComputedStyle(at).backgroundColor)
          layers.push(colour)
          if ((colour[3] ?? 0) >= 1) break
        }
        return layers.reduceRight<readonly number[]>((under, top) => over(top, under), [255, 255, 255])
      }
      const light = (colour: readonly number[]): number => {
        const [r = 0, g = 0, b = 0] = colour.map((value) => {
          const share = value / 255
          return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
        })
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
      }
      const seen = new Set<string>()
      for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some(
          (node) => node.nodeType === 3 && (node.textContent ?? '').trim() !== '',
        )
        if (!own || !shown(element) || element.closest('.ap-player,:disabled') !== null) continue
        const style = getComputedStyle(element)
        const under = ground(element)
        const ink = over(parse(style.color), under)
        const [a, b] = [light(ink), light(under)]
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
        const size = Number.parseFloat(style.fontSize)
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
        if (contrast >= (large ? leastLarge : least)) continue
        const words = `contrast ${contrast.toFixed(2)}: ${describe(element)}`
        if (seen.has(style.color + style.backgroundColor)) continue
        seen.add(style.color + style.backgroundColor)
        faults.push(words)
      }
      return faults
    },
    { least: CONTRAST_MIN, leastLarge: CONTRAST_LARGE_MIN },
  )
}
