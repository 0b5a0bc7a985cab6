// What OpenTelemetry's Node.js SDK sends, configured by its own environment variables and nothing else.
import { SpanKind, SpanStatusCode, metrics, trace } from "@opentelemetry/api";
import { logs } from "@opentelemetry/api-logs";
import { NodeSDK } from "@opentelemetry/sdk-node";

const [spans, predictions, ordinary] = process.argv.slice(2).map(Number);
const sdk = new NodeSDK();
sdk.start();

const tracer = trace.getTracer("stock");
for (let n = 0; n < spans; n++) {
  const span = tracer.startSpan("GET /predict", { kind: SpanKind.SERVER, attributes: { "http.route": "/predict", n } });
  if (n % 10 === 0) span.setStatus({ code: SpanStatusCode.ERROR, message: "no" });
  span.end();
}

const logger = logs.getLogger("stock");
for (let n = 0; n < predictions; n++) {
  logger.emit({
    eventName: "seamark.prediction",
    attributes: { "seamark.features": { age: n, plan: "pro" }, "seamark.prediction.value": n % 2 },
  });
}
for (let n = 0; n < ordinary; n++) logger.emit({ body: "an ordinary line", attributes: { n } });

const meter = metrics.getMeter("stock");
meter.createCounter("requests").add(3, { route: "/predict" });
meter.createUpDownCounter("queue.length").add(7);
meter.createGauge("utilisation").record(0.5);
meter.createHistogram("duration", { unit: "s" }).record(0.25);

await sdk.shutdown();
