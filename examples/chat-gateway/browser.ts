/** What the page does in the browser. What people write becomes text of the page, never markup. */

export const SCRIPT = `
  const find = (id) => document.getElementById(id)
  const port = new URLSearchParams(location.search).get('gateway') ?? GATEWAY_PORT
  const rooms = ['lobby', 'kitchen', 'garden']
  const shown = new Set()
  const versions = new Set()
  let socket, name = '', room = 'lobby', to = '', number = 0, waitMs = 100, opened = 0, isIn = false

  function open() {
    socket = new WebSocket('ws://' + location.hostname + ':' + port)
    socket.onopen = () => { waitMs = 100; opened++ }
    socket.onmessage = ({ data }) => hear(JSON.parse(data))
    // 1012 is a restart: what comes after it is there already
    socket.onclose = ({ code }) => {
      isIn = false
      find('where').textContent = 'away, coming back…'
      setTimeout(open, code === 1012 ? 0 : (waitMs = Math.min(waitMs * 2, 5000)))
    }
  }

  function ask(act, fields) {
    if (socket.readyState !== WebSocket.OPEN) return false
    socket.send(JSON.stringify({ act, ...fields }))
    return true
  }

  function hear(news) {
    showCode(news)
    // a new connection knows nothing of us
    if (news.hello && name) ask('name', { name })
    if (news.refused !== undefined) refuse(news.refused)
    if (news.you) greet(news.you)
    if (news.room) enter(news.room)
    if (news.came) note(news.came, ' has come')
    if (news.left) note(news.left, ' has left')
    if (news.here) showHere(news)
    if (news.key) say(news)
    if (news.error) add('note wrong', news.error)
    if (news.error && name && !isIn) setTimeout(ask, 1000, 'name', { name })
  }

  function showCode({ by, pid }) {
    if (versions.size > 0 && !versions.has(by)) add('note', 'new code: ' + by + ' answers')
    versions.add(by)
    const times = opened === 1 ? 'connected once' : 'connected ' + opened + ' times'
    find('by').textContent = 'answered by ' + by + ' · process ' + pid + ' · ' + times
  }

  function greet(you) {
    name = you
    find('door').hidden = true
    find('where').textContent = you
    ask('room', { room })
    find('say').elements.text.focus()
  }

  function refuse(refused) {
    name = ''
    find('door').hidden = false
    find('refused').hidden = false
    find('refused').textContent = refused + ' is somebody else here, take another name'
    find('enter').elements.name.select()
  }

  function goTo(chosen) {
    if (chosen && chosen !== room && ask('room', { room: chosen })) find('said').replaceChildren()
  }

  function enter(entered) {
    room = entered
    isIn = true
    if (!rooms.includes(room)) rooms.push(room)
    find('where').textContent = name + ' in ' + room
    address('')
    showRooms()
  }

  function note(who, what) {
    if (who !== name) add('note', who + what)
    // who is told that something has changed asks for all of it
    ask('who')
  }

  function say(news) {
    if (shown.has(news.key)) return
    shown.add(news.key)
    const kind = (news.from === name ? 'mine' : 'theirs') + (news.to ? ' secret' : '')
    const line = add(kind, news.text)
    const head = document.createElement('b')
    head.textContent = news.from + (news.to ? ' to ' + news.to + ' only' : '')
    const foot = document.createElement('small')
    foot.textContent = news.by
    line.prepend(head)
    line.append(foot)
  }

  function add(kind, text) {
    const line = document.createElement('li')
    const words = document.createElement('span')
    words.textContent = text
    line.className = kind
    line.append(words)
    const said = find('said')
    const follows = said.scrollHeight - said.scrollTop - said.clientHeight < 60
    said.append(line)
    if (follows) requestAnimationFrame(() => { said.scrollTop = said.scrollHeight })
    return line
  }

  function choices(list, names, chosen, choose) {
    list.replaceChildren(...names.map((text) => {
      const button = document.createElement('button')
      button.textContent = text
      button.ariaPressed = text === chosen
      button.onclick = () => choose(text)
      return button
    }))
  }

  function showRooms() {
    choices(find('rooms'), rooms, room, goTo)
  }

  function showHere({ here, isWhole }) {
    choices(find('here'), isWhole ? here : [...here, '…'], to, (chosen) => { if (chosen !== '…') address(chosen === name ? '' : chosen) })
  }

  function address(chosen) {
    to = chosen
    find('to').hidden = !to
    find('to').textContent = 'to ' + to + ' ✕'
    find('say').elements.text.placeholder = to ? 'a private message' : 'Say something in the ' + room
    for (const button of find('here').children) button.ariaPressed = button.textContent === to
    find('say').elements.text.focus()
  }

  find('to').onclick = () => address('')
  find('enter').onsubmit = (event) => {
    event.preventDefault()
    name = find('enter').elements.name.value
    // before it is connected: said with the first hello
    ask('name', { name })
  }
  find('open').onsubmit = (event) => {
    event.preventDefault()
    goTo(find('open').elements.room.value.trim())
    find('open').reset()
  }
  find('say').onsubmit = (event) => {
    event.preventDefault()
    const { text } = find('say').elements
    if (text.value.trim() && ask(to ? 'whisper' : 'say', { text: text.value, to, number: ++number })) text.value = ''
  }
  showRooms()
  open()
`
