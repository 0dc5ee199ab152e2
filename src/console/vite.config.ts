import { defineConfig } from 'vite'

export default defineConfig({
  base: '/',
  publicDir: false,
  // Nothing of the surroundings gets into what is published.
  envPrefix: 'GATEBOOK_NO_SUCH_',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es' },
  build: {
    target: 'es2024',
    outDir: '../../dist/console',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
})
