// Drawn for this page on a grid of 16.
const shapes = {
  campaigns: 'M2.5 13.5v-4M6.5 13.5v-8M10.5 13.5v-6M14 13.5V2.5',
  settings: 'M2 4.5h7M13 4.5h1M9 4.5a2 2 0 1 0 4 0a2 2 0 1 0-4 0M2 11.5h1M7 11.5h7M3 11.5a2 2 0 1 0 4 0a2 2 0 1 0-4 0',
  workspaces: 'M2.5 2.5h4v4h-4zM9.5 2.5h4v4h-4zM2.5 9.5h4v4h-4zM9.5 9.5h4v4h-4z',
  menu: 'M2 4h12M2 8h12M2 12h12',
  close: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  down: 'M4 6l4 4l4-4',
  right: 'M6 4l4 4l-4 4',
  left: 'M10 4L6 8l4 4',
  up: 'M4 10l4-4l4 4',
  sort: 'M5 6l3-3l3 3M5 10l3 3l3-3',
  warn: 'M8 2L1.5 13.5h13zM8 6.5v3M8 11.6v.1',
  bad: 'M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4M8 4.8v4M8 11.1v.1',
  good: 'M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4M5 8.2l2.1 2.1L11 6',
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9M10.5 10.5l3.5 3.5',
  calendar: 'M2.5 3.5h11v10h-11zM2.5 6.5h11M5.5 1.8v3M10.5 1.8v3',
  export: 'M8 2v8M5 7.2l3 3l3-3M2.5 13.5h11',
  copy: 'M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3',
  sun: 'M8 5a3 3 0 1 0 0 6a3 3 0 1 0 0-6M8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M12.6 3.4l-.7.7M4.1 11.9l-.7.7',
  moon: 'M13 9.5A5.8 5.8 0 0 1 6.5 3a5.3 5.3 0 1 0 6.5 6.5z',
  auto: 'M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4M8 1.8v12.4M8 5l5.2 0M8 8h6.2M8 11h5.2',
  bell: 'M4 11V7a4 4 0 0 1 8 0v4l1.5 1.5h-11zM6.5 14.2h3',
  key: 'M5 6.5a3.2 3.2 0 1 0 0 6.4a3.2 3.2 0 1 0 0-6.4M7.3 7.5L13.5 2M11 4.2l2 2',
  out: 'M6 2.5H2.5v11H6M10 5l3 3l-3 3M13 8H6',
  more: 'M3 8v.1M8 8v.1M13 8v.1',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  change: 'M3 5.5h9M9.5 3l2.5 2.5L9.5 8M13 10.5H4M6.5 8L4 10.5L6.5 13',
  void: 'M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4M3.7 12.3l8.6-8.6',
  expiry: 'M4 2h8M4 14h8M5 2v2.5L8 8l3-3.5V2M5 14v-2.5L8 8l3 3.5V14',
  spend: 'M8 2.5v10M4 8.7l4 4l4-4',
  refund: 'M8 13.5v-10M4 7.3l4-4l4 4',
  clock: 'M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4M8 4.5V8l2.5 1.5',
}

export type IconName = keyof typeof shapes

/** Icon is decoration: what it means is said in words beside it. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={shapes[name]} />
    </svg>
  )
}
