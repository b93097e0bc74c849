"""The contract as Python objects: messages, enums, methods, routes with their options and comments.

Whatever the service could not serve is refused here, by name, before a line is generated.
"""

import re

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto
KINDS = {F.TYPE_BOOL: "BOOL", F.TYPE_INT32: "INT32", F.TYPE_INT64: "INT64", F.TYPE_DOUBLE: "DOUBLE",
         F.TYPE_STRING: "STRING", F.TYPE_BYTES: "BYTES", F.TYPE_ENUM: "ENUM", F.TYPE_MESSAGE: "MESSAGE"}
SPECIAL = {"google.protobuf.Timestamp": "TIMESTAMP", "google.protobuf.Duration": "DURATION"}
VERBS = ("get", "put", "post", "delete", "patch")
VERBS_WITH_BODY = ("put", "post", "patch")
SUCCESSES = (0, 200, 201, 202, 204)
PATH_KINDS = ("STRING", "INT32", "INT64", "BOOL", "ENUM")
HEADER_KINDS = ("STRING", "INT32", "INT64", "BOOL")

# What the tables and the wire check of src/schema can hold.
FIELD_NUMBER_MAX = 255
FIELDS_MAX = 64
DEPTH_MAX = 16


class Refused(SystemExit):
    def __init__(self, where, why):
        super().__init__("%s: %s" % (where, why))

SHAPES = {0: None, 1: "ID", 2: "TYPE"}  # strata.v1.Shape


class Field:
    def __init__(self, message, descriptor, options, is_map, comment):
        self.number, self.name, self.json_name = descriptor.number, descriptor.name, descriptor.json_name
        self.comment = comment
        where = "%s.%s" % (message.name, self.name)
        if descriptor.type not in KINDS:
            raise Refused(where, "this field type is not transcoded; use bool, int32, int64, double, string, bytes, "
                                 "an enum or a message")
        if self.number > FIELD_NUMBER_MAX:
            raise Refused(where, "its number is above %d" % FIELD_NUMBER_MAX)
        self.kind = KINDS[descriptor.type]
        self.type_name = descriptor.type_name.lstrip(".")
        self.repeated = descriptor.label == F.LABEL_REPEATED
        self.map = is_map
        self.optional = descriptor.proto3_optional
        self.oneof = -1
        if descriptor.HasField("oneof_index") and not self.optional:
            self.oneof = descriptor.oneof_index
        self.raw_json, self.decimal = options.raw_json, options.decimal
        self.json_number, self.internal = options.json_number, options.internal
        self.http_header = options.http_header
        self.shape = SHAPES[options.shape]
        self.may_be_empty, self.may_be_system = options.may_be_empty, options.may_be_system
        self.required = options.required
        self.minimum = options.minimum if options.HasField("minimum") else None
        self.min_items, self.max_items = options.min_items, options.max_items
        self.presence = not self.repeated and (self.optional or self.oneof >= 0 or self.kind == "MESSAGE")
        self._check_options(where)

    def _check_options(self, where):
        if self.raw_json and self.kind != "BYTES":
            raise Refused(where, "raw_json is for bytes")
        if self.decimal and self.kind != "STRING":
            raise Refused(where, "decimal is for strings")
        if self.json_number and self.kind != "INT64" and not self.map:
            raise Refused(where, "json_number is for int64")
        if self.shape and self.kind != "STRING":
            raise Refused(where, "shape is for strings")
        if (self.may_be_empty or self.may_be_system) and not self.shape:
            raise Refused(where, "may_be_empty and may_be_system are for strings with a shape")
        if self.minimum is not None and self.kind not in ("INT32", "INT64"):
            raise Refused(where, "minimum is for int32 and int64")
        if (self.min_items or self.max_items) and not self.repeated:
            raise Refused(where, "min_items and max_items are for lists")
        if self.http_header and (self.repeated or self.kind not in HEADER_KINDS):
            raise Refused(where, "http_header is for one string, number or bool")
        if self.http_header and not re.fullmatch(r"[A-Za-z0-9-]+", self.http_header):
            raise Refused(where, "%r is not a header name" % self.http_header)


class Message:
    def __init__(self, name, comment):
        self.name, self.comment = name, comment
        self.fields, self.oneofs = [], []
        self.special = SPECIAL.get(name, "PLAIN")

    def field(self, name):
        return next((f for f in self.fields if f.name == name), None)


class Enum:
    def __init__(self, name, values, comment):
        self.name, self.values, self.comment = name, values, comment


class Route:
    def __init__(self, method, verb, path, body, response_body):
        self.method, self.verb, self.path = method, verb, path
        self.body, self.response_body = body, response_body
        self.segments = []  # (literal, None) or (None, Field)

    @property
    def variables(self):
        return [field for _, field in self.segments if field is not None]


class Method:
    def __init__(self, service, name, comment):
        self.service, self.name, self.comment = service, name, comment
        self.path = "/%s/%s" % (service, name)
        self.routes = []

    @property
    def enum(self):
        snake = lambda text: re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).upper()
        return "METHOD_%s_%s" % (snake(self.service.rsplit(".", 1)[1]), snake(self.name))


def comments_of(file):
    """Comments by the path of what they stand before."""
    comments = {}
    for location in file.source_code_info.location:
        text = (location.leading_comments or location.trailing_comments).strip()
        comments[tuple(location.path)] = re.sub(r"\n ", "\n", text)
    return comments


class Contract:
    """`ours` are the files whose messages and services are served; what they import is described only."""

    def __init__(self, files, ours):
        self._load_options(files)
        self.raw_messages, self.messages, self.enums, self.methods, self.routes = {}, {}, {}, [], []
        self.headers = {}  # of each message: the header that protobuf-c makes
        self.service_comments = {}
        for file in files.file:
            for message in file.message_type:
                self._index(file.package, message, file.name.replace(".proto", ".pb-c.h"))
        known = [f for f in files.file if f.name in ours or f.package == "google.protobuf" and
                 f.name in ("google/protobuf/timestamp.proto", "google/protobuf/duration.proto")]
        for file in known:
            self._read_file(file)
        for file in files.file:
            if file.name in ours:
                self._read_services(file)
        self._refuse_clashes()
        self._refuse_depth()

    def _load_options(self, files):
        """Re-reads options with their extensions known, so that they can be asked for by name."""
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        factory = message_factory.MessageFactory(pool)
        self.extensions = {}
        for file in files.file:
            for extension in file.extension:
                full = "%s.%s" % (file.package, extension.name)
                self.extensions[full] = pool.FindExtensionByName(full)
        self.option_classes = {name: factory.GetPrototype(pool.FindMessageTypeByName("google.protobuf." + name))
                               for name in ("MethodOptions", "FieldOptions")}
        for extension in self.extensions.values():
            factory.GetPrototype(extension.containing_type).RegisterExtension(extension)
            if extension.message_type is not None:
                factory.GetPrototype(extension.message_type)

    def _options(self, kind, options):
        parsed = self.option_classes[kind]()
        parsed.ParseFromString(options.SerializeToString())
        return parsed

    def _index(self, prefix, message, header):
        name = "%s.%s" % (prefix, message.name)
        self.raw_messages[name] = message
        self.headers[name] = header
        for inner in message.nested_type:
            self._index(name, inner, header)

    def _read_file(self, file):
        comments = comments_of(file)
        for i, message in enumerate(file.message_type):
            self._read_message(file.package, message, comments, (4, i))
        for i, enum in enumerate(file.enum_type):
            self._read_enum(file.package, enum, comments, (5, i))

    def _read_enum(self, prefix, enum, comments, path):
        name = "%s.%s" % (prefix, enum.name)
        values = [(v.name, v.number, comments.get(path + (2, i), "")) for i, v in enumerate(enum.value)]
        self.enums[name] = Enum(name, values, comments.get(path, ""))

    def _read_message(self, prefix, raw, comments, path):
        name = "%s.%s" % (prefix, raw.name)
        message = Message(name, comments.get(path, ""))
        self.messages[name] = message
        for i, inner in enumerate(raw.nested_type):
            self._read_message(name, inner, comments, path + (3, i))
        for i, enum in enumerate(raw.enum_type):
            self._read_enum(name, enum, comments, path + (4, i))
        synthetic = {f.oneof_index for f in raw.field if f.proto3_optional}
        message.oneofs = [o.name for i, o in enumerate(raw.oneof_decl) if i not in synthetic]
        for i, field in enumerate(raw.field):
            options = self._options("FieldOptions", field.options).Extensions[self.extensions["strata.v1.field"]]
            entry = self.raw_messages.get(field.type_name.lstrip("."))
            is_map = entry is not None and entry.options.map_entry
            message.fields.append(Field(message, field, options, is_map, comments.get(path + (2, i), "")))
        message.fields.sort(key=lambda f: f.number)
        if len(message.fields) > FIELDS_MAX:
            raise Refused(name, "has more than %d fields" % FIELDS_MAX)
        spellings = [s for f in message.fields for s in {f.name, f.json_name}]
        for spelling in spellings:
            if spellings.count(spelling) > 1:
                raise Refused(name, "two fields are %r in JSON" % spelling)

    def _read_services(self, file):
        comments = comments_of(file)
        for s, service in enumerate(file.service):
            full = "%s.%s" % (file.package, service.name)
            self.service_comments[full] = comments.get((6, s), "")
            for m, raw in enumerate(service.method):
                self.methods.append(self._read_method(full, raw, comments.get((6, s, 2, m), "")))

    def _read_method(self, service, raw, comment):
        method = Method(service, raw.name, comment)
        options = self._options("MethodOptions", raw.options)
        rule = self.extensions["strata.v1.rule"]
        if not options.HasExtension(rule):
            raise Refused(method.path, "has no option (rule)")
        method.rule = options.Extensions[rule]
        if method.rule.role == 0 or method.rule.rate == 0:
            raise Refused(method.path, "its rule names no role or no rate class")
        if method.rule.http_success not in SUCCESSES:
            raise Refused(method.path, "http_success is %d; use 200, 201, 202 or 204" % method.rule.http_success)
        method.request = self.messages[raw.input_type.lstrip(".")]
        method.reply = self.messages[raw.output_type.lstrip(".")]
        method.client_stream, method.server_stream = raw.client_streaming, raw.server_streaming
        if method.rule.http_location:
            self._check_location(method)
        http = self.extensions["google.api.http"]
        if options.HasExtension(http):
            rule = options.Extensions[http]
            for binding in (rule, *rule.additional_bindings):
                self._read_route(method, binding)
        return method

    def _check_location(self, method):
        for path in re.findall(r"\{([^}]*)\}", method.rule.http_location):
            message, field = method.reply, None
            for name in path.split("."):
                field = message.field(name) if message is not None else None
                if field is None or field.repeated:
                    raise Refused(method.path, "http_location: the reply has no single field {%s}" % path)
                message = self.messages.get(field.type_name)
            if field.kind not in PATH_KINDS:
                raise Refused(method.path, "http_location: {%s} is no plain field" % path)

    def _read_route(self, method, binding):
        verb = binding.WhichOneof("pattern")
        if verb not in VERBS:
            raise Refused(method.path, "a custom verb is not transcoded")
        route = Route(method, verb.upper(), getattr(binding, verb), binding.body, binding.response_body)
        where = "%s: %s %s" % (method.path, route.verb, route.path)
        if method.client_stream:
            raise Refused(where, "a client stream has no HTTP route")
        if route.body and verb not in VERBS_WITH_BODY:
            raise Refused(where, "%s has no body" % route.verb)
        if route.body and method.server_stream:
            raise Refused(where, "a stream with a body is not transcoded")
        if route.response_body and method.server_stream:
            raise Refused(where, "a stream with a response_body is not transcoded")
        if route.body not in ("", "*"):
            field = method.request.field(route.body)
            if field is None or field.repeated or field.kind != "MESSAGE":
                raise Refused(where, "body: %s is no single message of the request" % route.body)
        if route.response_body and method.reply.field(route.response_body) is None:
            raise Refused(where, "response_body: the reply has no field %s" % route.response_body)
        if not route.path.startswith("/"):
            raise Refused(where, "the path does not begin with a slash")
        for part in route.path[1:].split("/"):
            route.segments.append(self._segment(method, where, part))
        variables = [field.name for field in route.variables]
        if len(set(variables)) != len(variables) or route.body in variables:
            raise Refused(where, "binds one field twice")
        method.routes.append(route)
        self.routes.append(route)

    @staticmethod
    def _segment(method, where, part):
        if re.fullmatch(r"[A-Za-z0-9._~-]+", part):
            return part, None
        variable = re.fullmatch(r"\{([A-Za-z0-9_.]+)\}", part)
        if variable is None:
            raise Refused(where, "segment %r is not transcoded; use a literal or {field}" % part)
        name = variable.group(1)
        if "." in name:
            raise Refused(where, "{%s} is nested; a variable binds a field of the request itself" % name)
        field = method.request.field(name)
        if field is None or field.repeated or field.kind not in PATH_KINDS:
            raise Refused(where, "{%s} is no plain field of the request" % name)
        return None, field

    def _refuse_clashes(self):
        """Literals win over variables, so two templates that match one path are fine only if one of them is the more
        literal in every segment in which they differ."""
        for i, one in enumerate(self.routes):
            for other in self.routes[:i]:
                if one.verb != other.verb or len(one.segments) != len(other.segments):
                    continue
                pairs = list(zip(one.segments, other.segments))
                if any(a is not None and b is not None and a != b for (a, _), (b, _) in pairs):
                    continue
                first = any(a is not None and b is None for (a, _), (b, _) in pairs)
                second = any(a is None and b is not None for (a, _), (b, _) in pairs)
                if first == second:
                    raise Refused("%s %s" % (one.verb, one.path), "matches the same paths as %s" % other.path)

    def _refuse_depth(self):
        def visit(message, above):
            if message.name in above:
                raise Refused(message.name, "contains itself")
            if len(above) + 1 > DEPTH_MAX:
                raise Refused(message.name, "is nested deeper than %d" % DEPTH_MAX)
            for field in message.fields:
                if field.kind == "MESSAGE":
                    visit(self.messages[field.type_name], above + [message.name])

        for message in self.messages.values():
            visit(message, [])

    def described(self):
        """Messages that get tables, each after what it contains."""
        order = []

        def visit(message):
            if message in order:
                return
            for field in message.fields:
                if field.kind == "MESSAGE":
                    visit(self.messages[field.type_name])
            order.append(message)

        for message in self.messages.values():
            visit(message)
        return [m for m in order if not m.name.endswith(("v1.MethodRule", "v1.FieldRule"))]
