// CSV as the API's exports have it (RFC 4180), for what the page itself holds.

/** formula is what spreadsheets take for one: its first character says so. */
const formula = /^[=+\-@\t\r]/
/** figure is a number and so no formula, whatever its sign. */
const figure = /^-?\d+(\.\d+)?$/

function cell(value: string | number | null): string {
  if (value === null) return ''
  const text = String(value)
  const safe = formula.test(text) && !figure.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

/** csv makes a file of rows; text that a spreadsheet would run is told apart by an apostrophe before it. */
export function csv(rows: (string | number | null)[][]): string {
  return rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('')
}

/** download hands a text to the browser as a file. */
export function download(name: string, text: string, type = 'text/csv;charset=utf-8') {
  const url = URL.createObjectURL(new Blob([text], { type }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  // The browser has taken hold of it by the next turn.
  window.setTimeout(() => URL.revokeObjectURL(url), 0)
}
