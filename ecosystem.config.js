// PM2: `pm2 start ecosystem.config.js`. Settings come from .env beside this file.
// New code without a dropped request: check first, then `pm2 sendSignal SIGHUP manga-backend`
// (never `pm2 reload`: in fork mode it stops before it starts).
const path = require("path");
const fs = require("fs");

const python = path.join(__dirname, ".venv", "bin", "python");
const settings = path.join(__dirname, ".env");
const written = fs.existsSync(settings) ? fs.readFileSync(settings, "utf8") : "";
const setting = (name) =>
  process.env[name] || (written.match(new RegExp(`^\\s*${name}\\s*=\\s*(\\S.*)`, "m")) || [])[1] || "";
const withRedis = Boolean(setting("REDIS_URL"));
const streams = /\b(urgent|all)\b/.test(setting("PRODUCTS")); // products whose lists are live

const common = {
  cwd: __dirname,
  script: python,
  interpreter: "none",
  exec_mode: "fork",
  instances: 1,
  kill_timeout: 25000, // longer than Gunicorn's graceful_timeout
  min_uptime: 3000,
  max_restarts: 10,
  exp_backoff_restart_delay: 100,
};

const api = { ...common, name: "manga-backend", args: "-m gunicorn -c gunicorn.conf.py wsgi:app" };
const worker = { ...common, name: "manga-worker", args: "-m flask --app wsgi worker" };
const live = { ...common, name: "manga-live", args: "-m flask --app wsgi live" };

module.exports = { apps: [api, ...(withRedis ? [worker] : []), ...(streams ? [live] : [])] };
