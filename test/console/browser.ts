/** A real Chromium of its own, driven by the tests; what it complains of is an error of the test that ran. */
import { chromium, type Page, type Browser as Program } from 'playwright-core'

const PROGRAM = '/usr/bin/chromium'
const ARGUMENTS: readonly string[] = [
  // The sandbox needs another user than root; pages are our own.
  '--no-sandbox',
  '--headless',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
]
/** The machine is shared and noisy: that something comes is asserted, not when. */
const WAIT_MS = 30_000

export class Browser implements AsyncDisposable {
  readonly #program: Program
  /** Violations of the policy, errors in scripts: none may ever be. */
  readonly complaints: string[] = []

  private constructor(program: Program) {
    this.#program = program
  }

  static async start(): Promise<Browser> {
    return new Browser(await chromium.launch({ executablePath: PROGRAM, args: [...ARGUMENTS] }))
  }

  /** A page with cookies of its own: another person. */
  async page(): Promise<Page> {
    const context = await this.#program.newContext({
      viewport: { width: 1440, height: 900 },
      colorScheme: 'light',
      permissions: ['clipboard-read', 'clipboard-write'],
    })
    context.setDefaultTimeout(WAIT_MS)
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
        // biome-ignore lint/suspicious/noConsole: in the page, whose console is watched.
        console.error(`POLICY ${violatedDirective} ${blockedURI}`)
      })
    })
    const page = await context.newPage()
    this.#watch(page)
    return page
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.close()
  }

  #watch(page: Page): void {
    page.on('pageerror', (error) => this.complaints.push(`script: ${error.message}`))
    page.on('console', (message) => {
      const text = message.text()
      // The browser itself says so of every refused request; those are expected where a test asks for them.
      if (text.startsWith('Failed to load resource')) return
      if (message.type() === 'error') this.complaints.push(text)
    })
    page.on('dialog', (dialog) => {
      this.complaints.push(`dialog: ${dialog.message()}`)
      dialog.dismiss().catch(() => undefined)
    })
  }
}
