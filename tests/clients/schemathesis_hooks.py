"""
What Schemathesis (SCHEMATHESIS_HOOKS) must not take for a finding: rules of the API that an OpenAPI
document cannot say, or not so that generators still make clients of it. Each is one kind of failure,
at some operations, with one answer, whose words name the rule; any other answer is a finding.
"""

import re

import schemathesis

HOOKS = r"(POST|PUT|PATCH) /api/v1/(sessions/{session}/)?webhooks(/{webhook})?"
SOURCES = r"(POST|PATCH) /api/v1/sources(/{source})?"
LISTS = r"(GET|POST) .*/(sessions|sources|all|replay|waybill-keys\.json)"
ANY = r".*"
REFUSED, TAKEN, METHOD, SERVER = (
    "RejectedPositiveData", "AcceptedNegativeData", "UnsupportedMethodResponse", "ServerError")

# Failure, operation, status, field, message.
EXCEPTIONS = (
    # RFC 9110, section 15.6.2: a method that the server has nowhere (TRACE) is a 501, not a 405.
    (METHOD, ANY, 501, "", "This method is not implemented."),
    (SERVER, ANY, 501, "", "This method is not implemented."),
    # A body behind a method that takes none is refused with its framing, before its path is read.
    (METHOD, ANY, 400, "", "This method takes no body."),
    # What a PUT by a reserved name is told, more than a 405 would say.
    (METHOD, r"GET .*/webhooks/(all|dlq)", 400, "name", "a webhook's name must be .*"),
    # The bytes of a whole body, and the number of all events in it, are of no schema.
    (TAKEN, ANY, 413, "",
     "(the (body of a webhook|settings of a source)|a request|its first [0-9]+ events) .* at most .*"),
    (REFUSED, SOURCES, 413, "", "the settings of a source are at most [0-9]+ bytes at a time"),
    # A cursor is opaque, and of the answer before.
    (REFUSED, LISTS, 400, "cursor", "cursor must be the next_cursor of an earlier answer.*"),
    # Two values that must agree: of one body, of body and path.
    (REFUSED, r"POST .*/replay", 400, "until", "until must be later than since"),
    (REFUSED, r"POST .*/{session}/events", 400, "session_id", "is not the session of the path"),
    (REFUSED, r"POST .*/filter-test", 400, "session_id|event", "is required"),
    (REFUSED, r"POST .*/filter-test", 400, "event_id", "beside event_id there may be filter alone.*"),
    # Bounds of a duration, which is digits and a unit.
    (REFUSED, r"POST .*/portal", 400, "expires_in", "expires_in must be a duration from .*"),
    (REFUSED, HOOKS, 400, r"retry\[\d+\]", "a wait is digits and one of .*"),
    (REFUSED, SOURCES, 400, r"id_retention|verify\.tolerance", ".* must be a duration.*"),
    # The grammar of hosts and ports (RFC 3986, IDNA), and lengths in bytes.
    (REFUSED, HOOKS, 400, r"url|fallback_url|auth\.token_url",
     "(an IPv4 address is|an international host|its host is no|a host name|only IPv6|the port must"
     "|must be ASCII|must be a URL of|is not a URL of RFC 3986).*"),
    (REFUSED, HOOKS, 400, r"(no_)?proxy(\[\d+\])?", ".* must be .*(host|HOST).*"),
    # Lengths of texts are in bytes, and a schema's in characters.
    (REFUSED, HOOKS, 400, r"auth\.\w+", ".* must be a string of .*bytes.*"),
    (REFUSED, rf"{SOURCES}|.*/verify-signature", 400, r"[\w.]+",
     ".* must be (a string|an array of .* strings) of .*bytes of UTF-8"),
    # Items that exclude each other, names that are reserved or one but for case.
    (REFUSED, HOOKS, 400, "signature", "signature must be .*, of v1 and v2 one at most"),
    (REFUSED, HOOKS, 400, r"headers\..*", ".* (is reserved|is given twice).*"),
    # What a text holds in another encoding: PEM, base64 of keys.
    (REFUSED, HOOKS, 400, r"ca_pem|client_(cert|key)_pem", ".* must be .*PEM.*"),
    (REFUSED, rf"{HOOKS}|.*/rotate-key", 400, "private_key",
     "private_key must be a private key of Ed25519.*"),
    # A mask keeps what there is, if there is anything: of the gateway's state.
    (REFUSED, rf"{HOOKS}|.*/rotate-secret", 400,
     r"client_(cert|key)_pem|secret|private_key|proxy|auth\.\w+", "this is the mask that answers show.*"),
    # JSON's strings may all have it, and no webhook's.
    (REFUSED, HOOKS, 400, "", r"a string must not hold (the character U\+0000|a lone surrogate .*)"),
    # What the machine's libcurl can do.
    (REFUSED, HOOKS, 400, "http_version", 'http_version "2" needs libcurl .*'),
    # Members that must agree with others, given or kept.
    (REFUSED, HOOKS, 400, r"headers\.Authorization|client_(cert|key)_pem|fallback_url|http_version",
     "(a webhook with auth has no|a client certificate is shown in TLS|.* are there both, or neither"
     "|only the endpoint of url|fallback_url must be another|HTTP/2 is agreed on in TLS).*"),
    # How many steps a condition can take is the sum of all of its parts.
    (REFUSED, HOOKS, 400, r"filter|success\.answer", ".* must take no more than .* steps.*"),
    # Which names of events are known is of the settings; it is events_strict that asks for them.
    (REFUSED, HOOKS, 400, r"events\[\d+\]", "unknown event: .*"),
    # A key that signs as well without what is around it.
    (REFUSED, rf"{HOOKS}|.*/(verify-signature|rotate-secret)", 400, "secret",
     "secret (has white space or a control character around it|behind whsec_).*"),
    # A source's members go by its type and the type of its verify, which a preset may say. A union
    # that has each member many times, in oneOf, makes no working clients.
    (REFUSED, SOURCES, 400, r"\w+", r"\w+ is for sources of type (nats|http)"),
    (REFUSED, SOURCES, 400, r"session|event|event_id|timestamp",
     r".* must be (a literal, or in .*|given once: .*)"),
    (REFUSED, SOURCES, 400, r"(session|event|event_id|timestamp)\.subject",
     r".* must be a template with \{\} once, .*"),
    (REFUSED, SOURCES, 400, "verify", "verify must be an object with the member type"),
    (REFUSED, SOURCES, 400, r"verify\.\w+", "unknown or read-only field; allowed are .*"),
    (REFUSED, SOURCES, 400, r"verify\.\w+|verify_token|raw_headers",
     ".* must be (given|an array with at least one secret|the name of the header|base64|a template).*"),
)  # fmt: skip


def is_known(failure, operation, status, error):
    given = (failure, operation, str(status), error.get("field") or "", error.get("message") or "")
    return any(
        all(re.fullmatch(str(rule), value, re.DOTALL) for rule, value in zip(row, given))
        for row in EXCEPTIONS
    )


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Whether a failure is one: a finding."""
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return True
    return not is_known(type(failure).__name__, case.operation.label, response.status_code, error)
