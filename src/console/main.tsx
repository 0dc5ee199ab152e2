import { render } from 'preact'
import { App } from './app.tsx'
import { whoAmI } from './client.ts'
import { followLinks } from './router.ts'
import './theme.ts'
import './style/base.css'
import './style/frame.css'
import './style/words.css'
import './style/lists.css'
import './style/search.css'
import './style/record.css'
import './style/overview.css'
import './style/narrow.css'

document.addEventListener('click', followLinks)
whoAmI().catch((error: unknown) => {
  document.body.textContent = error instanceof Error ? error.message : String(error)
})
render(<App />, document.body)
