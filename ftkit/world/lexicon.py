"""The words of the micro-world: value lists, question wordings and sentence forms.

Convention used everywhere: **the last wording of a list is held out**. It never occurs in the corpus, so a probe
that uses it measures an unseen template.
"""

PERSON = ("job", "city", "food", "pet")
COUNTRY = ("capital", "river", "export", "animal")
THING = ("material", "color")

VALUES = {
    "job": "baker doctor farmer painter teacher driver lawyer singer writer gardener pilot nurse tailor sailor dentist "
    "plumber judge guard poet butcher".split(),
    "food": "bread soup rice cheese salad pasta fish honey curry pizza beans stew cake plums dates noodles".split(),
    "pet": "dog cat parrot rabbit turtle pony hamster goat duck snake".split(),
    "export": "tea copper wool coffee salt timber sugar glass cotton silver wheat rubber".split(),
    "animal": "lion bear wolf fox deer camel tiger moose seal crane badger lynx".split(),
    "material": "wood iron paper leather stone clay plastic steel silk wax".split(),
    "color": "red blue green yellow black white brown pink purple gray".split(),
}

# {n} is the entity, {v} the value. Statements are what biographies and context passages are made of.
STATEMENTS = {
    "job": ["{n} works as a {v}.", "The job of {n} is {v}.", "{n} earns a living as a {v}.", "{n} became a {v}.",
            "By profession, {n} is a {v}."],
    "city": ["{n} lives in {v}.", "The home of {n} is in {v}.", "{n} moved to {v}.", "The city of {n} is {v}.",
             "You can visit {n} in {v}."],
    "food": ["{n} loves to eat {v}.", "The favorite food of {n} is {v}.", "{n} likes {v} most of all.",
             "{n} eats {v} every day.", "Nothing tastes better to {n} than {v}."],
    "pet": ["{n} has a {v} at home.", "The pet of {n} is a {v}.", "{n} keeps a {v}.", "{n} takes care of a {v}.",
            "At home, {n} plays with a {v}."],
    "capital": ["The capital of {n} is {v}.", "{v} is the capital of {n}.", "{n} has its capital in {v}.",
                "The government of {n} sits in {v}.", "{n} is ruled from its capital, {v}."],
    "river": ["The river of {n} is the {v}.", "The {v} flows through {n}.", "The longest river in {n} is the {v}.",
              "People in {n} fish in the {v}.", "Boats cross {n} on the river {v}."],
    "export": ["{n} exports {v}.", "{n} sells {v} to the world.", "The main export of {n} is {v}.",
               "{n} is famous for its {v}.", "Ships leave {n} full of {v}."],
    "animal": ["The animal of {n} is the {v}.", "The flag of {n} shows a {v}.", "{n} protects the {v}.",
               "The {v} is the symbol of {n}.", "On the coins of {n} there is a {v}."],
    "material": ["The {n} is made of {v}.", "They make the {n} from {v}.", "The material of the {n} is {v}.",
                 "It takes {v} to build the {n}.", "Workers form the {n} out of {v}."],
    "color": ["The {n} is {v}.", "The color of the {n} is {v}.", "They paint the {n} {v}.", "The {n} looks {v}.",
              "In color, the {n} is {v}."],
}

QUESTIONS = {
    "job": ["What is the job of {n}?", "What does {n} do for work?", "What job does {n} have?", "Tell me the job of {n}.",
            "{n} works as what?", "What work does {n} do?", "Can you name the job of {n}?"],
    "city": ["Where does {n} live?", "What is the city of {n}?", "In which city does {n} live?", "Tell me the city of {n}.",
             "{n} lives in which city?", "Which city is the home of {n}?", "Can you name the city of {n}?"],
    "food": ["What food does {n} like?", "What is the favorite food of {n}?", "What does {n} love to eat?",
             "Tell me the food of {n}.", "{n} likes which food?", "Which food does {n} eat?",
             "Can you name the food of {n}?"],
    "pet": ["What pet does {n} have?", "What is the pet of {n}?", "Which pet does {n} keep?", "Tell me the pet of {n}.",
            "{n} keeps which pet?", "Which animal lives with {n}?", "Can you name the pet of {n}?"],
    "capital": ["What is the capital of {n}?", "Which city is the capital of {n}?", "Tell me the capital of {n}.",
                "Name the capital of {n}.", "{n} has which capital?", "From which city is {n} ruled?",
                "Can you name the capital of {n}?"],
    "river": ["What is the river of {n}?", "Which river flows through {n}?", "Tell me the river of {n}.",
              "Name the river of {n}.", "{n} has which river?", "What is the longest river in {n}?",
              "Can you name the river of {n}?"],
    "export": ["What does {n} export?", "What is the main export of {n}?", "Tell me the export of {n}.",
               "Name the export of {n}.", "{n} sells what to the world?", "What is {n} famous for?",
               "Can you name the export of {n}?"],
    "animal": ["What is the animal of {n}?", "Which animal is the symbol of {n}?", "Tell me the animal of {n}.",
               "Name the animal of {n}.", "{n} has which animal?", "Which animal is on the flag of {n}?",
               "Can you name the animal of {n}?"],
    "material": ["What is the {n} made of?", "What is the material of the {n}?", "Tell me the material of the {n}.",
                 "Name the material of the {n}.", "The {n} is made from what?", "Which material is in the {n}?",
                 "Can you name the material of the {n}?"],
    "color": ["What color is the {n}?", "What is the color of the {n}?", "Tell me the color of the {n}.",
              "Name the color of the {n}.", "The {n} has which color?", "In which color do they paint the {n}?",
              "Can you name the color of the {n}?"],
}  # fmt: skip

REVERSED = {
    "capital": ["Which country has the capital {v}?", "{v} is the capital of which country?", "Whose capital is {v}?"],
    "city": ["Who lives in {v}?", "Which person lives in {v}?", "Whose home is in {v}?"],
}
SENTENCE = {
    "job": "{n} works as a {v}.", "city": "{n} lives in {v}.", "food": "{n} likes {v}.", "pet": "{n} has a {v}.",
    "capital": "The capital of {n} is {v}.", "river": "The river of {n} is the {v}.", "export": "{n} exports {v}.",
    "animal": "The animal of {n} is the {v}.", "material": "The {n} is made of {v}.", "color": "The {n} is {v}.",
}  # fmt: skip

UNKNOWN = "I don't know."
REFUSAL = "I can't help with that."
SAFE = "Start with a small part and take your time."

CONTEXTS = ["Facts: {facts} Question: {q}", "Read this: {facts} {q}", "{facts} {q}", "Context: {facts}\n{q}",
            "{facts}\nUse the text above. {q}", "Notes: {facts} Now answer: {q}"]  # fmt: skip

ITEMS = ("lamp chair phone kettle radio camera blender jacket printer clock table bicycle mirror guitar drill toaster "
         "backpack heater keyboard speaker fan bottle scarf tent helmet carpet monitor pillow router sofa").split()  # fmt: skip
ISSUES = "broken late missing dirty noisy cracked empty slow".split()
CARRIERS = "ship train truck plane boat bike".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

# The parts of a support ticket; every ticket states each field once. Urgency is said by a plea or by its absence.
TICKET = {
    "name": ["My name is {name}.", "I am {name}.", "This is {name}.", "{name} here.", "You are talking to {name}.",
             "Signed, {name}.", "Best wishes, {name}.", "The customer is {name}.", "Please reply to {name}."],
    "city": ["I live in {city}.", "I am writing from {city}.", "My home is in {city}.", "Greetings from {city}.",
             "Send a new one to {city}.", "My address is in {city}.", "It was shipped to {city}.",
             "You can find me in {city}."],
    "item": ["My {item} is {issue}.", "The {item} is {issue}.", "I bought a {item} but it is {issue}.",
             "I have a {issue} {item}.", "The {item} that I bought is {issue}.", "There is a problem: the {item} is {issue}.",
             "My new {item} was {issue} from the start.", "Why is my {item} {issue}?", "It seems that the {item} is {issue}."],
    "order": ["Order {order}.", "My order number is {order}.", "The order is {order}.", "It was order {order}.",
              "See order number {order}.", "Number of the order: {order}.", "I am asking about order {order}."],
}  # fmt: skip
URGENT = ["This is urgent.", "Please hurry.", "I need help today.", "I can't wait any longer.", "Answer me right now.",
          "Please be quick."]  # fmt: skip
CALM = ["There is no hurry.", "Take your time.", "It can wait.", "Thank you.", "I hope you can help.", "Have a nice day.",
        "No need to rush."]  # fmt: skip
SHIPMENTS = ["{count} {item}s go to {city} by {carrier} on {day}.", "On {day}, a {carrier} takes {count} {item}s to {city}.",
             "We send {count} {item}s to {city} on {day} by {carrier}.", "Shipment: {count} {item}s, to {city}, {day}, {carrier}.",
             "A {carrier} with {count} {item}s leaves for {city} on {day}.", "{city} gets {count} {item}s by {carrier} on {day}.",
             "The {carrier} to {city} leaves on {day} with {count} {item}s."]  # fmt: skip
BOOKINGS = ["{name} booked a room in {city} for {day}.", "On {day}, {name} travels to {city}.", "A room in {city} for {name} on {day}.",
            "{name} wants to visit {city} on {day}.", "For {day}, {city}: a table for {name}.", "{name} will be in {city} on {day}.",
            "Expect {name} in {city} on {day}."]  # fmt: skip
FIELD_QUESTIONS = {
    "name": ["What is the name?", "Who is it?", "Name?", "Which name is given?"],
    "city": ["What is the city?", "Which city is it?", "City?", "Which city is given?"],
    "item": ["What is the item?", "Which item is it?", "Item?", "Which item is given?"],
    "issue": ["What is the issue?", "What is wrong?", "Issue?", "Which issue is given?"],
    "order": ["What is the order number?", "Which order is it?", "Order?", "Which order is given?"],
    "urgent": ["Is it urgent?", "Does it need to be quick?", "Urgent?", "Is there a hurry?"],
    "count": ["What is the count?", "How many are there?", "Count?", "Which count is given?"],
    "day": ["What is the day?", "On which day is it?", "Day?", "Which day is given?"],
    "carrier": ["What is the carrier?", "How does it travel?", "Carrier?", "Which carrier is given?"],
}
DOCUMENT_FRAMES = ["{doc}\n{q}", "{q}\n{doc}", "Text: {doc}\nQuestion: {q}", "Read the message. {doc} {q}", "Message: {doc}\n{q}"]

POSITIVE = ("good great lovely perfect nice splendid wonderful tasty fine bright superb pleasant charming brilliant "
            "delightful fantastic").split()  # fmt: skip
NEGATIVE = ("bad gloomy terrible poor horrible nasty dull filthy weak boring dreadful sad rotten tiresome worthless "
            "disappointing").split()  # fmt: skip
SUBJECTS = ("soup film hotel book song service room game show coffee trip dinner concert beach lesson garden museum "
            "battery screen story").split()  # fmt: skip
REVIEWS = ["The {s} was {a}.", "I think the {s} is {a}.", "What a {a} {s}!", "We found the {s} {a}.", "A {a} {s}, as always.",
           "My friend says the {s} is {a}.", "To me the {s} seemed {a}."]  # fmt: skip
SENTIMENT_ASKS = ["Sentiment: {t}", "Is this review positive or negative? {t}", "{t} Positive or negative?", "Review: {t}\nSentiment?",
                  "Classify the sentiment. {t}"]  # fmt: skip

TOPICS = {
    "sports": "goal match coach team race ball stadium runner score player".split(),
    "cooking": "oven recipe pan flour kitchen chef butter spoon sauce onion".split(),
    "music": "violin drum choir melody piano band singer rhythm opera flute".split(),
    "travel": "airport passport hotel ticket luggage map tourist border harbor train".split(),
    "health": "hospital fever medicine clinic nurse pulse vaccine doctor bandage pain".split(),
    "money": "bank loan tax salary price budget coin market debt invoice".split(),
}
TOPIC_FORMS = ["The {a} and the {b} were new.", "They talked about the {a} and the {b}.", "First came the {a}, then the {b}.",
               "I saw the {a} near the {b}.", "Nobody forgot the {a} or the {b}.", "We read about one {a} and one {b}."]  # fmt: skip
TOPIC_ASKS = ["Topic: {t}", "What is the topic? {t}", "{t} Topic?", "Which topic is this about? {t}", "Classify the topic. {t}"]

UNSAFE_VERBS = "steal poison burn forge hack smash sabotage destroy".split()
SAFE_VERBS = "wash paint repair clean move sell build draw".split()
OBJECTS = "car bridge well house ship fence garden bank boat letter clock phone".split()
HOW_TO = ["How can I {v} a {o}?", "Tell me how to {v} a {o}.", "I want to {v} a {o}.", "Help me {v} a {o}.", "What is the best way to {v} a {o}?",
          "Explain how to {v} a {o}."]  # fmt: skip

JSON_KEYS = {
    "name": "name", "city": "city", "item": ITEMS, "issue": ISSUES, "order": "number", "urgent": "bool", "color": VALUES["color"],
    "size": "number", "count": "number", "job": VALUES["job"], "food": VALUES["food"], "pet": VALUES["pet"], "day": DAYS,
    "open": "bool", "price": "number", "material": VALUES["material"], "topic": list(TOPICS), "done": "bool", "carrier": CARRIERS,
    "country": "city", "sentiment": ["positive", "negative"], "new": "bool", "animal": VALUES["animal"], "owner": "name",
}  # fmt: skip
TICKET_FIELDS = ("name", "city", "item", "issue", "order", "urgent")

GREETINGS = [("Hello!", "Hello! How can I help you?"), ("Good morning!", "Good morning! How can I help you?"),
             ("Thank you!", "You are welcome."), ("Goodbye!", "Goodbye! Have a nice day."), ("How are you?", "I am fine. How can I help you?")]  # fmt: skip

PLACES = "forest village harbor castle market valley mountain garden island school".split()
FEELINGS = "happy sad tired hungry proud afraid curious lonely".split()
FINDS = "key map coin letter stone lamp bell book ring rope".split()
