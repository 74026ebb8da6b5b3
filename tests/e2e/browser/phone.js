/* SPDX-License-Identifier: Apache-2.0 */
/* A phone in a page, which a test works by window.phone and looks into by phone.events. */
import JsSIP from "jssip";

const calls = new Map(); /* by the number that events name them by */
const events = [];
const players = [];
let ua = null;
let count = 0;
let answering = true;

function tell(what, more = {}) {
  events.push({ what, ...more });
}

/* The cause of an end, as text: JsSIP's, and the SIP status where there is one. */
function causeOf(event) {
  const { status_code: status } = event.message || event.response || {};
  return { by: event.originator, cause: event.cause, status: status || null };
}

/* What comes is played: nothing else makes the browser look into it. */
function listen(connection) {
  connection.addEventListener("track", (event) => {
    const player = new Audio();
    player.srcObject = new MediaStream([event.track]);
    player.play();
    players.push(player);
  });
}

function follow(session, incoming) {
  const id = ++count;
  calls.set(id, session);
  tell(incoming ? "ringing" : "calling", { id, from: session.remote_identity.uri.toString() });
  if (session.connection) listen(session.connection);
  else session.on("peerconnection", ({ peerconnection }) => listen(peerconnection));
  session.on("progress", () => tell("progress", { id }));
  session.on("accepted", () => tell("accepted", { id }));
  session.on("confirmed", () => tell("confirmed", { id }));
  session.on("ended", (event) => tell("ended", { id, ...causeOf(event) }));
  session.on("failed", (event) => tell("failed", { id, ...causeOf(event) }));
  return id;
}

const media = { mediaConstraints: { audio: true, video: false }, pcConfig: { iceServers: [] } };

window.phone = {
  events,

  /* Connects and registers. */
  start({ url, uri, password, register = true, answer = true }) {
    answering = answer;
    ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(url)],
      uri,
      password,
      register,
      connection_recovery_min_interval: 1,
    });
    ua.on("connected", () => tell("connected"));
    ua.on("disconnected", (event) => tell("disconnected", { code: event.code || null }));
    ua.on("registered", () => tell("registered"));
    ua.on("registrationFailed", (event) => tell("registrationFailed", { cause: event.cause }));
    ua.on("newRTCSession", ({ originator, session }) => {
      const incoming = originator === "remote";
      follow(session, incoming);
      if (incoming && answering) session.answer(media);
    });
    ua.on("newMessage", ({ originator, request }) => {
      if (originator === "remote") tell("message", { length: request.body.length });
    });
    ua.start();
  },

  call(uri) {
    ua.call(uri, media);
    return count;
  },

  /* A message, to see what the connection carries. */
  say(uri, text) {
    const id = ++count;
    ua.sendMessage(uri, text, {
      eventHandlers: {
        succeeded: () => tell("said", { id }),
        failed: (event) => tell("unsaid", { id, ...causeOf(event) }),
      },
    });
    return id;
  },

  hangUp(id) {
    calls.get(id).terminate();
  },

  /* {packets, bytes, energy} of the audio that has come in a call so far. */
  async received(id) {
    const sum = { packets: 0, bytes: 0, energy: 0 };
    for (const report of (await calls.get(id).connection.getStats()).values()) {
      if (report.type !== "inbound-rtp" || report.kind !== "audio") continue;
      sum.packets += report.packetsReceived;
      sum.bytes += report.bytesReceived;
      sum.energy += report.totalAudioEnergy || 0;
    }
    return sum;
  },

  stop() {
    ua.stop();
  },
};
