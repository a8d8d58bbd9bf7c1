/* The presets; see source_preset.h. What each sender sends was read from its documentation. */
#include "domain/source_preset.h"

#define POINT(path) "{\"body\":\"" path "\"}"
#define HEADER(name) "{\"header\":\"" name "\"}"

/* X-Hub-Signature-256, which Meta has made and others have taken over. */
#define HUB_SIGNATURE                                                                          \
	"\"verify\":{\"type\":\"hmac\",\"header\":\"X-Hub-Signature-256\","                    \
	"\"prefix\":\"sha256=\"}"

const struct source_preset SOURCE_PRESETS[] = {
    {"waxum",
	"{\"session\":" POINT("/session_id") ",\"event\":" POINT(
	    "/event") ",\"timestamp\":"
		      "{\"body\":\"/timestamp\",\"unit\":\"s\"},\"data\":" POINT(
			  "/data") ",\"verify\":{\"type\":\"waybill\"}}",
	true},
    {"waha",
	"{\"session\":" POINT("/session") ",\"event\":" POINT("/event") ",\"event_id\":" POINT(
	    "/id") ",\"timestamp\":{\"body\":\"/timestamp\",\"unit\":\"ms\"},\"data\":" POINT("/payload") ",\"verify\":{\"type\":\"hmac\",\"hash\":\"sha512\",\"header\":\"X-Webhook-Hmac\"}}",
	true},
    {"evolution",
	"{\"session\":" POINT("/instance") ",\"event\":" POINT("/event") ",\"timestamp\":{\"body\":\"/date_time\",\"unit\":\"iso\"},\"data\":" POINT(
	    "/data") ",\"drop\":[\"/apikey\"],\"verify\":{\"type\":\"none\"}}",
	false},
    {"gowa",
	"{\"session\":" POINT("/device_id") ",\"event\":" POINT("/event") ",\"event_id\":" POINT(
	    "/payload/id") ",\"timestamp\":{\"body\":\"/payload/timestamp\",\"unit\":\"iso\"},"
			   "\"data\":" POINT("/payload") "," HUB_SIGNATURE "}",
	true},
    {"openwa",
	"{\"session\":" POINT("/sessionId") ",\"event\":" POINT("/event") ",\"event_id\":" POINT(
	    "/idempotencyKey") ",\"timestamp\":{\"body\":\"/timestamp\",\"unit\":\"iso\"},"
			       "\"data\":" POINT(
				   "/data") ",\"id_scope\":\"id\",\"verify\":{\"type\":\"hmac\","
					    "\"header\":\"X-OpenWA-Signature\",\"prefix\":\"sha256=\"}}",
	true},
    {"wuzapi",
	"{\"session\":" POINT("/instanceName") ",\"event\":" POINT("/type") ",\"event_id\":" POINT(
	    "/event/Info/ID") ",\"timestamp\":{\"body\":\"/event/Info/Timestamp\",\"unit\":"
			      "\"iso\"},\"data\":" POINT(
				  "/event") ",\"drop\":[\"/token\"],\"form\":\"jsonData\","
					    "\"verify\":{\"type\":\"hmac\",\"header\":\"x-hmac-signature\"}}",
	true},
    {"meta",
	"{\"session\":" POINT("/value/metadata/phone_number_id") ",\"event\":" POINT(
	    "/field") ",\"split\":\"/entry/*/changes/*\",\"challenge\":\"meta\",\"id_retention\":\"8d\"," HUB_SIGNATURE
		      "}",
	false},
    {"github",
	"{\"session\":" POINT("/repository/full_name") ",\"event\":" HEADER(
	    "X-GitHub-Event") ",\"event_id\":" HEADER("X-GitHub-Delivery") ",\"id_scope\":\"id\"," HUB_SIGNATURE
									   "}",
	true},
    {"gitlab",
	"{\"session\":" POINT("/project/path_with_namespace") ",\"event\":" POINT("/object_kind") ",\"event_id\":" HEADER(
	    "X-Gitlab-Event-UUID") ",\"id_scope\":\"id\","
				   "\"verify\":{\"type\":\"token\",\"header\":\"X-Gitlab-Token\"}}",
	true},
    {"stripe",
	"{\"session\":" POINT("/account") ",\"event\":" POINT("/type") ",\"event_id\":" POINT(
	    "/id") ",\"timestamp\":{\"body\":\"/created\",\"unit\":\"s\"},\"id_scope\":\"id\","
		   "\"verify\":{\"type\":\"hmac\",\"header\":\"Stripe-Signature\",\"prefix\":\"v1=\","
		   "\"delimiter\":\",\",\"signed\":\"{timestamp}.{body}\",\"timestamp\":{\"header\":"
		   "\"Stripe-Signature\",\"prefix\":\"t=\"}}}",
	false},
    {"shopify",
	"{\"session\":" HEADER("X-Shopify-Shop-Domain") ",\"event\":" HEADER("X-Shopify-Topic") ",\"event_id\":" HEADER(
	    "X-Shopify-Webhook-Id") ",\"timestamp\":{\"header\":"
				    "\"X-Shopify-Triggered-At\",\"unit\":\"iso\"},\"id_scope\":\"id\",\"verify\":{\"type\":"
				    "\"hmac\",\"header\":\"X-Shopify-Hmac-Sha256\",\"encoding\":\"base64\"}}",
	false},
    {"slack",
	"{\"session\":" POINT("/team_id") ",\"event\":" POINT("/event/type") ",\"event_id\":" POINT(
	    "/event_id") ",\"timestamp\":{\"body\":\"/event_time\",\"unit\":\"s\"},"
			 "\"drop\":[\"/token\"],\"form\":\"payload\",\"challenge\":\"slack\",\"id_scope\":\"id\","
			 "\"verify\":{\"type\":\"hmac\",\"header\":\"X-Slack-Signature\",\"prefix\":\"v0=\","
			 "\"signed\":\"v0:{timestamp}:{body}\",\"timestamp\":{\"header\":"
			 "\"X-Slack-Request-Timestamp\"}}}",
	false},
    {"standard-webhooks",
	"{\"event\":" POINT("/type") ",\"event_id\":" HEADER("webhook-id") ",\"timestamp\":{\"body\":\"/timestamp\",\"unit\":\"iso\"},\"data\":" POINT(
	    "/data") ",\"id_scope\":\"id\",\"verify\":{\"type\":\"hmac\",\"header\":\"webhook-signature\","
		     "\"prefix\":\"v1,\",\"delimiter\":\" \",\"encoding\":\"base64\",\"signed\":"
		     "\"{id}.{timestamp}.{body}\",\"id\":{\"header\":\"webhook-id\"},\"timestamp\":"
		     "{\"header\":\"webhook-timestamp\"},\"secret_encoding\":\"base64\"}}",
	false},
};

const size_t SOURCE_PRESETS_COUNT = sizeof(SOURCE_PRESETS) / sizeof(SOURCE_PRESETS[0]);

const struct source_preset *source_preset_find(struct slice name)
{
	for (size_t i = 0; i < SOURCE_PRESETS_COUNT; i++) {
		if (slice_eq(name, slice_of(SOURCE_PRESETS[i].name)))
			return &SOURCE_PRESETS[i];
	}
	return NULL;
}
