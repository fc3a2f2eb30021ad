// Compresses what was built, and fails when it has grown too large.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const dist = new URL('../dist/', import.meta.url).pathname
// What fits into one packet either way gains nothing.
const least = 1400
// Of scripts and styles, compressed: what a phone on a slow line takes in about a second.
const most = 300_000

let total = 0
for (const name of readdirSync(dist, { recursive: true })) {
  const path = join(dist, name)
  if (!/\.(js|css|html|svg)$/.test(name) || !statSync(path).isFile()) continue
  const plain = readFileSync(path)
  const br = brotliCompressSync(plain, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length },
  })
  if (/\.(js|css)$/.test(name)) total += br.length
  if (plain.length < least) continue
  writeFileSync(`${path}.br`, br)
  writeFileSync(`${path}.gz`, gzipSync(plain, { level: 9 }))
}
console.log(`scripts and styles: ${(total / 1000).toFixed(1)} kB compressed, of at most ${most / 1000} kB`)
if (total > most) {
  console.error(
    'the page has grown too large: see what has come in with npx vite-bundle-visualizer, or load it when it is needed',
  )
  process.exit(1)
}
